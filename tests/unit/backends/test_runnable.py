from pathlib import Path

import pytest
from changed_artifact import with_compare_bits
from tiny_artifact import narrow_artifact, tiny_artifact

from pi_system.artifact.graph import Flatten, Graph, MaxPool2d
from pi_system.artifact.model import PublicModel
from pi_system.backends.registry import AUTO, BACKENDS, SERVED_BY_DEFAULT, runnable
from pi_system.cost.choice import candidates
from pi_system.errors import ConfigError
from pi_system.rpc.server_session import SessionHost
from pi_system.rpc.session_config import SessionConfig


def test_every_backend_takes_the_widest_ring() -> None:
    few, wide = (with_compare_bits(tiny_artifact(ring_bits=bits), 8) for bits in (59, 64))
    assert runnable(few.public) == runnable(wide.public) == tuple(BACKENDS)


def test_rings_too_narrow_for_homomorphic_encryption_are_for_backends_with_a_dealer() -> None:
    assert runnable(narrow_artifact().public) == ("fss", "crypten")


def test_tables_are_for_few_compared_bits() -> None:
    ten, eleven = (with_compare_bits(tiny_artifact(ring_bits=59), bits).public for bits in (10, 11))
    assert set(runnable(ten)) - set(runnable(eleven)) == {"table"}


def test_max_pools_are_compared_by_tables_too() -> None:
    """ReLUs of eight bits are not enough where a max-pool compares more."""
    model = with_compare_bits(tiny_artifact(ring_bits=59), 8).public
    first, conv, relu, _, last = model.graph.nodes
    pool = MaxPool2d(name="pool", inputs=("relu",), shape=(2, 1, 1), kernel=(2, 2), stride=(2, 2), padding=(0, 0))
    flat = Flatten(name="flatten", inputs=("pool",), shape=(2,))
    graph = Graph(nodes=(first, conv, relu, pool, flat, last.model_copy(update={"in_features": 2})))

    def compares(bits: int) -> PublicModel:
        fields = {name: getattr(model.ring, name) for name in ("frac_bits", "comparison_bits", "compare_bits")}
        ring = {name: values | {"pool": 8 if name == "frac_bits" else 20} for name, values in fields.items()}
        ring["compare_bits"] = model.ring.compare_bits | {"pool": bits}
        return model.model_copy(update={"graph": graph, "ring": model.ring.model_copy(update=ring)})

    assert set(runnable(compares(10))) - set(runnable(compares(11))) == {"table"}
    assert [candidates(compares(bits), BACKENDS)[0] for bits in (10, 11)] == ["table", "gmw"]


def test_a_server_leaves_auto_to_the_client_and_takes_only_what_it_offers(tmp_path: Path) -> None:
    few = with_compare_bits(tiny_artifact(ring_bits=59), 8)
    host = SessionHost(artifact=few, store_dir=tmp_path, dealer=None, allowed=SERVED_BY_DEFAULT)
    asked = SessionConfig(backend=AUTO, artifact_digest="", client_id=bytes(16), reveal="label")
    assert host.agree(asked).backend == AUTO
    for backend in host.offered:
        host.check_offered(backend)
    for other in (AUTO, "crypten", "none", ""):
        with pytest.raises(ConfigError, match=r"allows for this model \(gmw, gc, table, fss\), found"):
            host.check_offered(other)


def test_a_server_offers_only_what_its_model_runs_with(tmp_path: Path) -> None:
    host = SessionHost(artifact=narrow_artifact(), store_dir=tmp_path, dealer=None, allowed=SERVED_BY_DEFAULT)
    with pytest.raises(ConfigError, match=r"for this model \(fss\), found 'gmw'"):
        host.agree(SessionConfig(backend="gmw", artifact_digest="", client_id=bytes(16), reveal="label"))
