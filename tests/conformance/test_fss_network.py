"""Backend fss against the fixed-point oracle on random networks, and its declared cost against the counted one."""

import numpy as np
import pytest
from parties import fss_logits
from random_networks import random_small_artifact

from pi_system.export import QuantiseOptions
from pi_system.export.random import random_pictures
from pi_system.offline.schedule import plan
from pi_system.program.error_bound import artifact_ulp_bound
from pi_system.program.fixed_point import fixed_logits
from pi_system.protocols.relu_dcf import DcfRelu

PICTURES = 50


@pytest.mark.parametrize("seed", range(20))
def test_a_thousand_inputs_over_twenty_networks_stay_within_the_stated_ulps(seed, tmp_path):
    options = QuantiseOptions(ring_bits=64, truncate_before_relu=bool(seed % 4 == 1)) if seed % 2 else None
    artifact = random_small_artifact(seed, options=options)
    pictures = random_pictures(artifact.public.graph.input.shape, PICTURES, 1000 + seed)
    expected, _ = fixed_logits(artifact, pictures, check_range=True)
    logits, _, _ = fss_logits(artifact, pictures, tmp_path)
    found = logits * 2.0 ** artifact.public.ring.frac_bits[artifact.public.graph.output]
    assert (np.abs(found - expected) <= artifact_ulp_bound(artifact)).all()


@pytest.mark.parametrize("variant", ["bit", "arith"])
@pytest.mark.parametrize("seed", [3, 4])
def test_declared_cost_is_the_counted_cost(seed, variant, tmp_path):
    artifact = random_small_artifact(seed)
    public, ring = artifact.public, artifact.public.ring
    pictures = random_pictures(public.graph.input.shape, 1, 7)
    _, server, client = fss_logits(artifact, pictures, tmp_path, variant=variant)
    relu, element = DcfRelu(variant), 4 if ring.ring_bits <= 32 else 8
    gates = plan(public.graph, ring, artifact.masks).gates(argmax=False)
    down = sum(relu.cost(gate.spec).server_to_client_bytes for gate in gates)
    up = sum(relu.cost(gate.spec).client_to_server_bytes for gate in gates)
    classes = public.graph.nodes[-1].shape[0]
    inputs = int(np.prod(public.graph.input.shape))
    assert server.counters.sent_bytes == client.counters.received_bytes == down + classes * element
    assert client.counters.sent_bytes == server.counters.received_bytes == up + inputs * element
    assert client.counters.rounds == len(gates) + 1
    assert server.counters.rounds == len(gates)


@pytest.mark.parametrize("seed", [0, 5, 8, 9])
def test_argmax_reveals_the_label_alone(seed, tmp_path):
    artifact = random_small_artifact(seed)
    pictures = random_pictures(artifact.public.graph.input.shape, 6, seed)
    _, expected = fixed_logits(artifact, pictures)
    revealed, _, _ = fss_logits(artifact, pictures, tmp_path, reveal_argmax=True)
    assert revealed.shape == (6, 1)
    top = np.sort(expected, axis=1)[:, -2:]
    clear = top[:, 1] - top[:, 0] > 0.05
    assert (revealed[:, 0] == expected.argmax(1))[clear].all()
    assert clear.any()


def test_both_variants_and_every_ring_agree(tmp_path):
    artifact = random_small_artifact(11)
    pictures = random_pictures(artifact.public.graph.input.shape, 8, 1)
    bit, _, _ = fss_logits(artifact, pictures, tmp_path, variant="bit")
    arith, _, _ = fss_logits(artifact, pictures, tmp_path, variant="arith")
    scale = 2.0 ** artifact.public.ring.frac_bits[artifact.public.graph.output]
    assert (np.abs(bit - arith) * scale <= 2 * artifact_ulp_bound(artifact)).all()
