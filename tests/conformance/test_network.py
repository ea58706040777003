"""Every backend of the fast runtime against the fixed-point oracle on random networks, and its cost as declared."""

import numpy as np
import pytest
from parties import BACKENDS, GATES, secure_logits
from random_networks import random_small_artifact

from pi_system.export import QuantiseOptions
from pi_system.export.random import random_pictures
from pi_system.program.error_bound import artifact_ulp_bound
from pi_system.program.fixed_point import fixed_logits
from pi_system.secure.schedule import plan

PICTURES = {"fss": 50, "gmw": 2, "gc": 2}
"""Backends without a dealer take a tenth of a second a picture offline."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(20))
def test_inputs_over_twenty_networks_stay_within_the_stated_ulps(seed, backend, tmp_path):
    options = QuantiseOptions(ring_bits=59, truncate_before_relu=bool(seed % 4 == 1)) if seed % 2 else None
    artifact = random_small_artifact(seed, options=options)
    pictures = random_pictures(artifact.public.graph.input.shape, PICTURES[backend], 1000 + seed)
    expected, _ = fixed_logits(artifact, pictures, check_range=True)
    logits, _, _ = secure_logits(backend, artifact, pictures, tmp_path)
    found = logits * 2.0 ** artifact.public.ring.frac_bits[artifact.public.graph.output]
    assert (np.abs(found - expected) <= artifact_ulp_bound(artifact)).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", [3, 4])
def test_declared_cost_is_the_counted_cost(seed, backend, tmp_path):
    artifact = random_small_artifact(seed)
    public, ring = artifact.public, artifact.public.ring
    pictures = random_pictures(public.graph.input.shape, 1, 7)
    _, server, client = secure_logits(backend, artifact, pictures, tmp_path)
    element = 4 if ring.ring_bits <= 32 else 8
    costs = [
        GATES[backend][gate.spec.kind].cost(gate.spec)
        for gate in plan(public.graph, ring, artifact.masks, "logits").gates
    ]
    down = sum(cost.server_to_client_bytes for cost in costs)
    up = sum(cost.client_to_server_bytes for cost in costs)
    trips = sum(cost.round_trips for cost in costs)
    classes = public.graph.nodes[-1].shape[0]
    inputs = int(np.prod(public.graph.input.shape))
    assert server.counters.sent_bytes == client.counters.received_bytes == down + classes * element
    assert client.counters.sent_bytes == server.counters.received_bytes == up + inputs * element
    assert client.counters.rounds == trips + 1
    assert server.counters.rounds == trips
