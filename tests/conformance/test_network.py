"""Every backend of the fast runtime against the fixed-point oracle on random networks, and its cost as declared."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from changed_artifact import runnable, with_compare_bits
from chosen_logits import chosen_logits_artifact
from mlp_artifact import mlp_artifact
from oracle import assert_within_ulps, clear_labels
from parties import BACKENDS, GATES, PAIRING, secure_logits
from random_networks import random_mixed_artifact, random_small_artifact, random_square_artifact

from pi_system.artifact import Artifact
from pi_system.artifact.graph import Conv2d, Linear, Relu
from pi_system.backends.registry import find_backend
from pi_system.errors import ConfigError
from pi_system.export import QuantiseOptions
from pi_system.export.random import random_pictures
from pi_system.program import relu_count, square_count
from pi_system.program.reveal import Reveal
from pi_system.ring.carrier import Ring
from pi_system.secure.options import RuntimeOptions
from pi_system.secure.ring_layer import LazyLayer
from pi_system.secure.schedule import plan

PICTURES = {"relu": 12, "square": 10, "few bits": 12, "mixed": 10}
"""With a dealer; backends without one take a tenth of a second a picture offline."""
MAKERS: dict[str, Callable[..., Artifact]] = {"square": random_square_artifact, "mixed": random_mixed_artifact}


def make(kind: Any, seed: Any) -> Any:
    wide = {"ring_bits": 59} | ({} if kind == "square" else {"truncate_before_relu": seed % 4 == 1})
    maker = partial(MAKERS.get(kind, random_small_artifact), **({"blocks": 2} if kind == "mixed" else {}))
    artifact = maker(seed, options=QuantiseOptions(**wide) if seed % 2 else None)
    return with_compare_bits(artifact, 4 + seed % 6) if kind == "few bits" else artifact


KINDS = [
    *(("relu", i) for i in range(20)),
    *(("square", i) for i in range(8)),
    *(("few bits", i) for i in (0, 1, 2, 3, 5, 6, 9)),
    *(("mixed", i) for i in range(5)),
]


def _is_new(kind: str, seed: int, backend: str) -> bool:
    """Backends without a dealer differ in a record of their ReLU alone, and only ``table`` sees few bits."""
    if kind == "few bits":
        return backend in ("fss", "table")
    return seed < 4 or backend in ("fss", "gmw")


RUNS = [
    pytest.param(kind, seed, backend, id=f"{kind}-{seed}-{backend}")
    for (kind, seed), backend in product(KINDS, BACKENDS)
    if _is_new(kind, seed, backend)
]


@pytest.mark.parametrize(("kind", "seed", "backend"), RUNS)
def test_logits_stay_within_the_stated_ulps(kind: Any, seed: int, backend: str, tmp_path: Path) -> None:
    artifact = runnable(backend, make(kind, seed))
    count = PICTURES[kind] if backend == "fss" else 2 - (kind == "mixed")
    pictures = random_pictures(artifact.public.graph.input.shape, count, 1000 + seed)
    logits, _, _ = secure_logits(backend, artifact, pictures, tmp_path)
    real = assert_within_ulps(artifact, pictures, logits)
    if kind in MAKERS:  # the bound of the product of many errors is wide; this is not
        assert np.abs(logits - real).max() < 0.05


@pytest.mark.parametrize("backend", ["gmw", "gc"])
def test_who_compares_shares_sees_all_bits(backend: str, tmp_path: Path) -> None:
    """Few bits change nothing there: neither logits nor bytes."""
    artifact = mlp_artifact("relu")
    pictures = random_pictures((1, 8, 8), 2, 7)
    expected, server, client = secure_logits(backend, artifact, pictures, tmp_path / "all")
    found, *few = secure_logits(backend, with_compare_bits(artifact, 3), pictures, tmp_path / "few")
    assert (found == expected).all()
    assert [end.counters.sent_bytes for end in few] == [end.counters.sent_bytes for end in (server, client)]


def test_a_network_of_more_bits_than_a_table_has_is_refused(tmp_path: Path) -> None:
    artifact = mlp_artifact("relu")
    options = RuntimeOptions(
        backend="table", store_dir=tmp_path, client_id=PAIRING, reveal="label", insecure_provider=False
    )
    table = find_backend("table")
    refused = r"backend table: expected at most 10 compared bits, found 16 at relu; .*--compare-bits 10"
    for make_party in (table.make_server, table.make_client):
        with pytest.raises(ConfigError, match=refused):
            make_party(artifact, options)


COSTS: dict[str, tuple[Callable[[], Artifact], Reveal]] = {
    "few bits": (lambda: with_compare_bits(random_small_artifact(3), 8), "label"),
    "relu 3": (lambda: random_small_artifact(3), "logits"),
    "relu 4": (lambda: random_small_artifact(4), "logits"),
    "square 2": (lambda: random_square_artifact(2), "logits"),
    "square 3": (lambda: random_square_artifact(3), "logits"),
    "mixed 5": (lambda: random_mixed_artifact(5, blocks=2), "logits"),
    "mixed 7": (lambda: random_mixed_artifact(7, blocks=2), "logits"),
    "label": (lambda: chosen_logits_artifact(59, 20, classes=20, shift=6), "label"),
    "scores": (lambda: chosen_logits_artifact(59, 20, classes=20, shift=6), "scores"),
}
_OF_EVERY_RELU = ("few bits", "relu 3", "mixed 5")


COSTED = [(case, name) for case in COSTS for name in BACKENDS if name in ("fss", "gmw") or case in _OF_EVERY_RELU]


@pytest.mark.parametrize(("case", "backend"), COSTED)
def test_declared_cost_is_the_counted_cost(case: str, backend: str, tmp_path: Path) -> None:
    artifact, reveal = runnable(backend, COSTS[case][0]()), COSTS[case][1]
    graph, ring = artifact.public.graph, artifact.public.ring
    pictures = random_pictures(graph.input.shape, 1, 7)
    _, server, client = secure_logits(backend, artifact, pictures, tmp_path, reveal=reveal)
    specs = [gate.spec for gate in plan(graph, ring, artifact.masks, reveal).gates]
    count = {kind: sum(spec.count for spec in specs if spec.kind == kind) for kind in ("relu", "square")}
    assert (count["square"] > 0) == case.startswith(("square", "mixed"))
    if case.startswith("mixed"):
        assert count == {"relu": relu_count(graph), "square": square_count(graph)}
        assert count["relu"] > 0
    costs = [GATES[backend][spec.kind].cost(spec) for spec in specs]
    element, opened = Ring(ring.ring_bits).itemsize, 1 if reveal == "label" else graph.nodes[-1].shape[0]
    down = sum(cost.server_to_client_bytes for cost in costs) + opened * element
    up = sum(cost.client_to_server_bytes for cost in costs) + pictures.size * element
    trips = sum(cost.round_trips for cost in costs)
    assert server.counters.sent_bytes == client.counters.received_bytes == down
    assert client.counters.sent_bytes == server.counters.received_bytes == up
    assert (client.counters.rounds, server.counters.rounds) == (trips + 1, trips)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_label_of_squares_is_the_plaintexts(backend: str, tmp_path: Path) -> None:
    artifact = runnable(backend, random_square_artifact(4))
    pictures = random_pictures(artifact.public.graph.input.shape, 6, 4)
    clear, expected = clear_labels(artifact, pictures)
    found, _, _ = secure_logits(backend, artifact, pictures, tmp_path, reveal="label")
    assert (found[clear, 0] == expected).all()


@pytest.mark.parametrize("backend", ["fss", "gmw", "table"])
def test_a_layer_under_a_masked_relu_is_computed_once(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every channel once an inference, whichever of its positions have a ReLU."""
    artifact = runnable(backend, random_small_artifact(0))
    graph = artifact.public.graph
    assert any(isinstance(node, Relu) and node.masked for node in graph)
    computed, channels = Counter[str](), LazyLayer.channels

    def counted(layer: Any, first: Any, last: Any) -> Any:
        if layer._offset is not None:  # online, at the server
            computed[layer._layer.node.name] += last - first
        return channels(layer, first, last)

    monkeypatch.setattr(LazyLayer, "channels", counted)
    secure_logits(backend, artifact, random_pictures(graph.input.shape, 1, 0), tmp_path)
    assert computed == {node.name: node.shape[0] for node in graph if isinstance(node, Conv2d | Linear)}
