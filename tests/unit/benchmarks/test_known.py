"""Well-known networks: their definitions, private inferences of a small one, SPU, what is said of kept runs."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import known_networks
import numpy as np
import pytest
from click.testing import CliRunner
from measuring import documents, known, known_table, machine
from measuring.cnns import CNNS
from measuring.known import Known, comparison, structured_pictures
from peers import known_spu
from torch import nn

from pi_system.errors import PeerUnavailableError

PARAMETERS = {
    "resnet50": 25_557_032,
    "squeezenet1_1": 1_235_496,
    "densenet121": 7_978_856,
    "mobilenet_v2": 3_504_872,
}
"""As torchvision counts them."""


@pytest.mark.parametrize("name", CNNS)
def test_a_network_has_the_published_number_of_parameters(name: str) -> None:
    assert sum(parameter.numel() for parameter in CNNS[name]().parameters()) == PARAMETERS[name]


def test_pictures_are_the_same_for_a_seed_and_differ_from_each_other() -> None:
    pictures = structured_pictures(32, 16, 1)
    assert pictures.shape == (16, 3, 32, 32)
    assert (pictures == structured_pictures(32, 16, 1)).all()
    assert not np.isclose(pictures, structured_pictures(32, 16, 2)).any(axis=(1, 2, 3)).all()
    assert pictures.mean(axis=(1, 2, 3)).std() > 0.1  # of uniform pixels: 0.02


def test_a_comparison_is_of_the_spread_and_of_labels() -> None:
    expected = np.array([[0.0, 2.0], [3.0, 1.0]])
    assert comparison(expected + np.array([[0.0, 0.0], [0.0, 2.5]]), expected) == {
        "error": 2.5,
        "spread": 1.0,
        "labels": 0.5,
    }


def test_a_step_is_done_once(tmp_path: Path) -> None:
    made: list[int] = []

    def make(value: int) -> dict[str, Any]:
        made.append(value)
        return {"value": value}

    path = tmp_path / "step.json"
    assert [documents.once(path, make, value) for value in (1, 2)] == [{"value": 1}] * 2
    assert made == [1]


def test_a_small_network_is_exported_and_run_between_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [nn.Conv2d(3, 4, 5, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    monkeypatch.setitem(CNNS, "small", lambda: nn.Sequential(*layers, nn.Linear(4, 1000)))
    small = Known("small", 32, tmp_path)
    sample = small.export()
    assert sample["stated"]["pictures"] == known.CALIBRATION
    assert sample["stated"]["error"] <= 0.02
    assert sample["fresh"]["error"] <= 0.03
    assert sample["peak_memory_bytes"] > 0
    run = small.infer("gmw", "cheetah-wan", 2)
    assert run["error"] <= 0.02
    assert run["labels"] == 1
    assert run["within_ulp_bound"]
    assert len(run["samples"]["offline_ms"]) == 2
    assert min(run["samples"]["online_ms"]) >= 40 * (run["rounds"] - 1)  # the link's round trips are in it


NETWORK: dict[str, Any] = {
    "network": "squeezenet1_1-b8a52dc0-224",
    "relus": 2_589_352,
    "macs": 349_000_000,
    "ring_bits": 32,
    "stated": {"pictures": 50, "error": 0.01, "agreement": 0.98},
    "weights": {"file": "squeezenet1_1-b8a52dc0.pth"},
}
BOTH = {"server": 3_000_000_000, "client": 1_000_000_000}
OURS: dict[str, Any] = {
    "backend": "gmw",
    "error": 0.004,
    "labels": 1,
    "rounds": 77,
    "online_ms": 2000.0,
    "online_bytes": 143_000_000,
    "offline_ms": 50_000.0,
    "offline_bytes": 136_000_000,
    "peak_memory_bytes": BOTH,
}
THEIRS = {
    "backend": "spu:CHEETAH",
    "link": "loopback",
    "error": 0.001,
    "labels": 0.5,
    "total_ms": 100_000.0,
    "total_bytes": 700_000_000,
    "peak_memory_bytes": BOTH,
}


def environment(others: dict[str, float]) -> dict[str, Any]:
    kept = json.loads((known_table.KEPT / "resnet50-224.json").read_text())["environment"]
    return {**kept, "git_dirty": False, "others_before": {}, "others_during": others}


def keep(folder: Path, *runs: dict[str, Any], others: dict[str, float]) -> None:
    report = {"networks": [{**NETWORK, "runs": list(runs)}], "environment": environment(others)}
    (folder / "x.json").write_text(json.dumps(report))


def test_seconds_stand_where_nothing_else_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {"environment": environment({})}
    keep(tmp_path, {**OURS, **alone, "link": "wan"}, {**THEIRS, **alone}, others={"python": 0.9})
    monkeypatch.setattr(known_table, "KEPT", tmp_path)
    text = known_table.table()
    assert "| squeezenet1_1-b8a52dc0.pth | 2,589,352 | 349 | 32 | 1.00 | 49 of 50 |" in text
    assert "| `gmw` | wan | 2.00 s | 143 | 77 | 50.0 s | 136 | 52.0 s | 279 | 3.0 | 1.0 | 0.40 | torch's |" in text
    assert "| `spu:CHEETAH` | loopback |  |  |  |  |  | 100 s | 700 | 3.0 | 1.0 | 0.10 | another |" in text
    assert "beside other work" not in text
    assert "Not run: resnet50, densenet121, mobilenet_v2." in text


def test_a_peer_is_compared_where_both_ran_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, busy = ({"environment": environment(others)} for others in ({}, {"python": 0.9}))
    monkeypatch.setattr(known_table, "KEPT", tmp_path)
    (tmp_path / "resnet50-224.json").write_text(json.dumps({"networks": [], **alone}))
    keep(tmp_path, {**OURS, **alone}, {**THEIRS, **alone}, others={})
    times = round(THEIRS["total_ms"] / (OURS["online_ms"] + OURS["offline_ms"]), 2)
    assert f"{NETWORK['network']} {times} times the time and 2.51 times the bytes." in known_table.table()
    keep(tmp_path, {**OURS, **alone}, {**THEIRS, **busy}, others={})
    assert "times the time" not in known_table.table()


def test_multiples_stand_where_something_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, OURS, THEIRS, others={"python": 0.9})
    monkeypatch.setattr(known_table, "KEPT", tmp_path)
    text = known_table.table()
    assert "| `gmw` | loopback | 1.00 x |" in text
    assert "| 50.0 x |" in text
    assert "2.00 s" not in text
    assert "beside other work" in text


def test_what_failed_is_said_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {"backend": "spu:CHEETAH", "link": "loopback", "failed": "out of memory, with 21.0 GB held"}
    keep(tmp_path, OURS, failed, others={})
    monkeypatch.setattr(known_table, "KEPT", tmp_path)
    assert "`spu:CHEETAH` on squeezenet1_1-b8a52dc0-224: out of memory, with 21.0 GB held." in known_table.table()


def test_papers_figures_stand_beside_and_say_whether_they_were_read() -> None:
    text = known_table.table()
    assert "| below 2.5 minutes, 2.3 GB | read | abstract of eprint 2022/207 |" in text
    assert "| not verified | derived from" in text


@pytest.mark.parametrize(
    ("limit_s", "reserve", "reason"), [(0.1, 0, "more than 0 s"), (60.0, 1 << 60, "out of memory")]
)
def test_a_guard_ends_what_takes_too_much_and_nothing_else(limit_s: float, reserve: int, reason: str) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleep) as other:
        with known_spu.Guard(limit_s, reserve) as guard, subprocess.Popen(sleep) as sleeper:
            assert sleeper.wait(30) == -9
        assert other.poll() is None
        other.kill()
    assert guard.reason.startswith(reason)
    assert "GB held" in guard.reason


def test_an_spu_that_fails_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*given: Any) -> Any:
        raise PeerUnavailableError("spu:CHEETAH server: expected an answer,\n found its end")

    monkeypatch.setattr(known_spu, "spu_versions", lambda python: {})
    monkeypatch.setattr(known_spu, "Network", lambda *given, **options: None)
    monkeypatch.setattr(known_spu, "_runs", failing)
    found = known_spu.infer(Known("squeezenet1_1", 32, tmp_path), "python", "CHEETAH", 1, 60.0)
    assert found["failed"] == "spu:CHEETAH server: expected an answer, found its end"


def test_a_folder_s_runs_are_all_in_the_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def infer(known: Known, backend: str, link: str, repeat: int) -> dict[str, Any]:
        made.append(f"{known.name} {backend} {link} {repeat}")
        return {"backend": backend, "link": link}

    monkeypatch.setattr(known_networks, "exported", lambda known: {"network": known.name})
    monkeypatch.setattr(known_networks, "load_public", lambda path: SimpleNamespace(public=None))
    monkeypatch.setattr(known_networks, "runnable", lambda public: ("gmw",))
    monkeypatch.setattr(Known, "infer", infer)
    monkeypatch.setattr(machine, "LOCK", tmp_path / "lock")
    runner, common = CliRunner(), ["run", "--busy", "--network", "squeezenet1_1", "--size", "32"]
    for link in ("cheetah-wan", "loopback"):
        found = runner.invoke(
            known_networks.main, [*common, "--backend", "gmw", "--link", link, "--folder", str(tmp_path)]
        )
    assert [one["link"] for one in json.loads(found.stdout)["networks"][0]["runs"]] == ["loopback", "cheetah-wan"]
    assert all("git_sha" in one["environment"] for one in json.loads(found.stdout)["networks"][0]["runs"])
    again = runner.invoke(known_networks.main, [*common, "--backend", "gmw", "--folder", str(tmp_path)])
    assert again.exit_code == 0
    assert made == ["squeezenet1_1-32 gmw cheetah-wan 1", "squeezenet1_1-32 gmw loopback 1"]


def test_weights_are_of_one_network(tmp_path: Path) -> None:
    options = ["run", "--busy", "--weights", "resnet50-0676ba61.pth", "--folder", str(tmp_path)]
    found = CliRunner().invoke(known_networks.main, options)
    assert found.exit_code == 2
    assert "--weights: expected one --network" in found.stderr
