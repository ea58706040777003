"""Networks of mixed activations on every fast backend against the fixed-point oracle; cost as declared."""

from typing import Any

import numpy as np
import pytest
import torch
from few_bits import runnable
from parties import BACKENDS, GATES, secure_logits
from random_networks import random_mixed_artifact
from torch import nn

from pi_system.export import QuantiseOptions, random_artifact
from pi_system.export.random import random_pictures
from pi_system.program import relu_count, square_count
from pi_system.program.error_bound import artifact_ulp_bound
from pi_system.program.fixed_point import fixed_logits
from pi_system.secure.schedule import plan
from pi_system.train.mixed import Kind, mix
from pi_system.train.relu import MaskedReLU

PICTURES = {"fss": 20, "gmw": 1, "gc": 1, "table": 1}


def _check(backend: Any, artifact: Any, tmp_path: Any, pictures: Any = None) -> Any:
    artifact = runnable(backend, artifact)
    pictures = random_pictures(artifact.public.graph.input.shape, pictures or PICTURES[backend], 1000)
    expected, real = fixed_logits(artifact, pictures, check_range=True)
    logits, server, client = secure_logits(backend, artifact, pictures, tmp_path)
    found = logits * 2.0 ** artifact.public.ring.frac_bits[artifact.public.graph.output]
    assert (np.abs(found - expected) <= artifact_ulp_bound(artifact)).all()
    assert np.abs(logits - real).max() < 0.05  # the bound of the product of many errors is wide; this is not
    return server, client


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(5))
def test_logits_stay_within_the_stated_ulps(seed: Any, backend: Any, tmp_path: Any) -> None:
    options = QuantiseOptions(ring_bits=59, truncate_before_relu=seed % 4 == 1) if seed % 2 else None
    _check(backend, random_mixed_artifact(seed, blocks=2, options=options), tmp_path)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", [5, 7])
def test_declared_cost_is_the_counted_cost(seed: Any, backend: Any, tmp_path: Any) -> None:
    artifact = runnable(backend, random_mixed_artifact(seed, blocks=2))
    public, ring = artifact.public, artifact.public.ring
    server, client = _check(backend, artifact, tmp_path, pictures=1)
    element = 4 if ring.ring_bits <= 32 else 8
    specs = [gate.spec for gate in plan(public.graph, ring, artifact.masks, "logits").gates]
    count = {kind: sum(spec.count for spec in specs if spec.kind == kind) for kind in ("relu", "square")}
    assert count == {"relu": relu_count(public.graph), "square": square_count(public.graph)}
    assert min(count.values()) > 0
    costs = [GATES[backend][spec.kind].cost(spec) for spec in specs]
    down, up = sum(c.server_to_client_bytes for c in costs), sum(c.client_to_server_bytes for c in costs)
    assert server.counters.sent_bytes == down + public.graph.nodes[-1].shape[0] * element
    assert client.counters.sent_bytes == up + int(np.prod(public.graph.input.shape)) * element
    assert client.counters.rounds == sum(each.round_trips for each in costs) + 1


def _one_layer(kinds: Any) -> Any:
    """Convolution, one mixed layer of these kinds (4, 5, 5), convolution, linear."""
    relu = MaskedReLU((4, 5, 5), stage=1, block=0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), relu, nn.Conv2d(4, 4, 3, padding=1), nn.Flatten(), nn.Linear(100, 3)
    )
    mix(network, "1").set_kinds(kinds)
    return random_artifact(network, (1, 5, 5), 1, "one layer")


def _kinds(name: Any) -> Any:
    kinds = torch.zeros((4, 5, 5), dtype=torch.uint8)
    if name.startswith("all"):
        kinds[:] = Kind[name.removeprefix("all ").upper()]
    elif name == "one square":
        kinds[2, 3, 1] = Kind.QUADRATIC
    elif name == "one position left":
        kinds[:] = Kind.ZERO
        kinds[1, 1, 1] = Kind.QUADRATIC
    return kinds


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "name",
    ["all relu", "all quadratic", "all linear", "all zero", "none", "one square", "one position left"],
)
def test_degenerate_masks(name: Any, backend: Any, tmp_path: Any) -> None:
    artifact = _one_layer(_kinds(name))
    squares = {"all quadratic": 100, "one square": 1, "one position left": 1}.get(name, 0)
    assert square_count(artifact.public.graph) == squares
    assert relu_count(artifact.public.graph) == (100 if name == "all relu" else 0)
    _check(backend, artifact, tmp_path, pictures=2 if backend == "fss" else 1)
