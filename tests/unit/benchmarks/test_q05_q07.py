"""q05 and q07: clients that begin together, CrypTen's own launch, and answers that follow from samples."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import q05_scaling as q05
import q07_peers as q07
from measuring.networks import cached_artifact
from measuring.processes import HERE, Place
from measuring.reference import Reference
from measuring.sessions import in_turn
from peers.systems import crypten_shipped

from pi_system.artifact.store import load
from pi_system.errors import PeerUnavailableError
from pi_system.export.random import random_pictures

NETWORK = "resnet18:m=2,classes=10,size=8"
SHAPE = (3, 8, 8)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cached_artifact(NETWORK, tmp_path_factory.mktemp("cache"))


# ---- q05


def test_clients_at_once_all_get_their_answers(path: Path) -> None:
    with in_turn([path], [("fss", HERE, "logits")] * 2, 8, shared=True) as running:
        throughput, online_ms = q05.at_once(running, 2)
        assert len(online_ms) == 4
        assert 0 < throughput < 4 / (max(online_ms) / 1000)
        assert all(one.worst.absolute < 0.05 for one in running)
        running[1].close()
        with pytest.raises(PeerUnavailableError):
            q05.at_once(running, 1)


def scaled(kind: str, **fields: Any) -> dict[str, Any]:
    memory = {"server": 10, "client": 5}
    return {"kind": kind, "backend": "fss", "relus": 1000, "peak_memory_bytes": memory, **fields}


def test_scaling_answers_are_per_picture_and_beside_the_smallest() -> None:
    directions = {"client_to_server": 100, "server_to_client": 300}
    samples = [
        scaled("batch", batch=1, online_ms=[10.0, 12.0], online_bytes=directions),
        scaled("batch", batch=4, online_ms=[20.0, 24.0], online_bytes={name: 4 * n for name, n in directions.items()}),
        scaled("clients", clients=1, throughput_per_s=[5.0, 6.0], online_ms=[9.0]),
        scaled("clients", clients=8, throughput_per_s=[10.0, 12.0], online_ms=[9.0]),
        scaled("size", size=32, online_ms=[10.0], online_bytes=directions),
        {**scaled("size", size=32, online_ms=[30.0], online_bytes=directions), "backend": "gmw"},
    ]
    found = {answer.name: answer for answer in q05.answers(samples)}
    assert found["fss/batch=4/online_ms_per_picture"].value == 5.5
    assert found["fss/batch=4/online_bytes_per_picture"].value == 400
    assert found["fss/batch=4/ms_per_picture_over_batch_1"].value == 0.5
    assert found["fss/clients=8/throughput_over_1"].value == 2.0
    assert found["fss/size=32/us_per_relu"].value == 10.0
    assert found["gmw/size=32/online_ms_over_fss"].value == 3.0
    assert {name for name in found if found[name].ratio} == {
        "fss/batch=4/ms_per_picture_over_batch_1",
        "fss/clients=8/throughput_over_1",
        "gmw/size=32/online_ms_over_fss",
    }


# ---- q07


def test_crypten_launches_both_parties_itself_and_is_right(path: Path, tmp_path: Path) -> None:
    artifact, pictures = load(path), random_pictures(SHAPE, 2, 1)
    np.save(tmp_path / "pictures.npy", pictures)
    reference = Reference(artifact, pictures)
    place = Place(name="loopback", link="loopback", pinned=False)
    with crypten_shipped(path, tmp_path / "pictures.npy", place, tmp_path) as shipped:
        found = [shipped.run(index) for index in (0, 1)]
        assert shipped.peak().server > 30e6
    for index, sample in enumerate(found):
        assert reference.error(index, sample.output.reshape(1, -1)).absolute < 0.05
        assert sample.offline_ms is None
    relus = artifact.public.graph.relus()
    assert found[0].total_bytes > 2 * 232 * sum(relu.active for relu in relus)
    assert found[0].total_bytes == found[1].total_bytes


def peer(backend: str, total_ms: list[float], **fields: Any) -> dict[str, Any]:
    return {
        "kind": "peer",
        "network": "net",
        "backend": backend,
        "ours": "online_ms" in fields,
        "total_ms": total_ms,
        "total_bytes_samples": [200, 200],
        "peak_memory_bytes": {"server": 2, "client": 1},
        "max_abs_error": 0.5,
        **fields,
    }


def test_peers_are_compared_with_our_total_and_with_our_online_time() -> None:
    ours = peer("fss", [100.0, 80.0], online_ms=[10.0, 8.0], online_bytes_samples=[50, 50])
    theirs = {**peer("spu:SEMI2K", [400.0, 320.0]), "total_bytes_samples": [600, 600]}
    found = {answer.name: answer for answer in q07.answers([ours, theirs])}
    assert found["net/spu:SEMI2K_over_fss/total"].value == 4.0
    assert found["net/spu:SEMI2K_over_fss/total_to_online"].value == 40.0
    assert found["net/spu:SEMI2K_over_fss/bytes"].value == 3.0
    assert found["net/fss/online_bytes"].value == 50
    assert found["net/spu:SEMI2K/max_abs_error"].value == 0.5
    assert found["spu/measured"].value == 1


def test_a_run_without_spu_says_so() -> None:
    missing = {"kind": "not_measured", "backend": "spu", "why": "there is no SPU"}
    found = {answer.name: answer for answer in q07.answers([peer("crypten-shipped", [1.0, 1.0]), missing])}
    assert (found["spu/measured"].value, found["spu/measured"].note) == (0, "there is no SPU")
