"""Networks with squares on every backend of the fast runtime against the fixed-point oracle; cost as declared."""

import numpy as np
import pytest
from parties import BACKENDS, GATES, secure_logits
from random_networks import random_square_artifact

from pi_system.export import QuantiseOptions
from pi_system.export.random import random_pictures
from pi_system.program.error_bound import artifact_ulp_bound
from pi_system.program.fixed_point import fixed_logits
from pi_system.secure.schedule import plan

PICTURES = {"fss": 20, "gmw": 2, "gc": 2}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(8))
def test_logits_stay_within_the_stated_ulps(seed, backend, tmp_path):
    artifact = random_square_artifact(seed, options=QuantiseOptions(ring_bits=59) if seed % 2 else None)
    pictures = random_pictures(artifact.public.graph.input.shape, PICTURES[backend], 1000 + seed)
    expected, real = fixed_logits(artifact, pictures, check_range=True)
    logits, _, _ = secure_logits(backend, artifact, pictures, tmp_path)
    found = logits * 2.0 ** artifact.public.ring.frac_bits[artifact.public.graph.output]
    assert (np.abs(found - expected) <= artifact_ulp_bound(artifact)).all()
    assert np.abs(logits - real).max() < 0.05  # the bound of the product of many errors is wide; this is not


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", [2, 3])
def test_declared_cost_is_the_counted_cost(seed, backend, tmp_path):
    artifact = random_square_artifact(seed)
    public, ring = artifact.public, artifact.public.ring
    pictures = random_pictures(public.graph.input.shape, 1, 7)
    _, server, client = secure_logits(backend, artifact, pictures, tmp_path)
    element = 4 if ring.ring_bits <= 32 else 8
    specs = [gate.spec for gate in plan(public.graph, ring, artifact.masks, "logits").gates]
    kinds = {spec.kind for spec in specs}
    costs = [GATES[backend][spec.kind].cost(spec) for spec in specs]
    down = sum(each.server_to_client_bytes for each in costs)
    up = sum(each.client_to_server_bytes for each in costs)
    assert "square" in kinds
    assert server.counters.sent_bytes == down + public.graph.nodes[-1].shape[0] * element
    assert client.counters.sent_bytes == up + int(np.prod(public.graph.input.shape)) * element
    assert client.counters.rounds == sum(each.round_trips for each in costs) + 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_argmax_reveals_the_label_alone(backend, tmp_path):
    artifact = random_square_artifact(4)
    pictures = random_pictures(artifact.public.graph.input.shape, 6, 4)
    _, expected = fixed_logits(artifact, pictures)
    revealed, _, _ = secure_logits(backend, artifact, pictures, tmp_path, reveal="label")
    top = np.sort(expected, axis=1)[:, -2:]
    clear = top[:, 1] - top[:, 0] > 0.05
    assert (revealed[:, 0] == expected.argmax(1))[clear].all()
    assert clear.any()
