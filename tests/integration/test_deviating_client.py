"""The documented limit of the security notion: a client that does not follow the protocol reads weights.

docs/explanation/threat-model.md says so; these tests show it, so that the sentence cannot be forgotten. Should one fail
because the attack no longer works, the threat model has become too pessimistic: change both together.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlp_artifact import HIDDEN, mlp_artifact
from parties import infer, make_parties, prepare

from pi_system.kernels.he import SEED_BYTES
from pi_system.kernels.packing import pack_bits, packed_bytes, unpack_bits
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.linear_he import LinearHeServer, LinearHeSession, LinearPlan, LinearShape, plan_linear
from pi_system.ring.prg import Prg, fresh_seed

SHIFT_BITS = 20
"""Of a probe: far above logits and truncation errors, so that one inference gives a column of the layer exactly."""


@pytest.mark.filterwarnings("default")
def test_limit_shifted_shares_read_the_last_layer_where_logits_are_revealed(tmp_path: Path) -> None:
    """One inference a feature: the client's share of ReLU j moves by 2^20, every logit by 2^20 times its weight."""
    artifact = mlp_artifact("relu")
    server, client = make_parties("fss", artifact, tmp_path)
    picture = np.full((1, 1, 8, 8), 0.25, np.float32)
    honest, shift = client.gates["relu"], np.zeros(HIDDEN, np.int64)

    def shifted(spec: GateSpec, material: Any) -> Any:
        return honest.client_steps(spec, material | {"mask": material["mask"] - client.ring.from_signed(shift)})

    client.gates = client.gates | {"relu": replace(honest, client_steps=shifted)}
    prepare(server, client, 1 + HIDDEN)
    answers = []
    for probe in range(1 + HIDDEN):
        shift[:] = 0
        if probe:
            shift[probe - 1] = 1 << SHIFT_BITS
        logits, _, _ = infer(server, client, picture)
        answers.append(logits[0] * 2.0 ** artifact.public.ring.frac_bits["fc"])
    found = np.rint((np.array(answers[1:]) - answers[0]).T / 2.0**SHIFT_BITS)
    np.testing.assert_array_equal(found, server.weights["fc.weight"])


class MalformedClient:
    """Sends "ciphertexts" under the secret key zero, their hidden error chosen: the noise of an answer is the weights.

    c_s hides an answer's multiples of q / 2^l; what lies below is error, which an honest client cannot choose.
    """

    def __init__(self, plan: LinearPlan) -> None:
        self.plan = plan

    def ciphertext(self, coefficients: list[int]) -> np.ndarray:
        """First half as given, second half of any seed: the server cannot tell it from an encryption."""
        params = self.plan.params
        out = np.frombuffer(fresh_seed() * (SEED_BYTES // 16), np.uint8).tolist()
        for prime, bits in zip(params.primes, params.prime_bits, strict=True):
            packed = np.empty(packed_bytes(params.degree, bits), np.uint8)
            pack_bits(np.array([c % prime for c in coefficients], np.uint64), bits, packed)
            out += packed.tolist()
        return np.array(out, np.uint8)

    def low_parts(self, answer: memoryview) -> np.ndarray:
        """What is left of every output once the nearest multiple of Q / 2^l, which c_s moves, is taken off."""
        params, packing = self.plan.params, self.plan.packings[0]
        prime, bits = params.primes[0], params.prime_bits[0]
        count = packing.positions(0, 0, 0).size
        values = np.empty(count, np.uint64)
        at = packed_bytes(params.degree, bits)
        unpack_bits(np.frombuffer(answer, np.uint8)[at:].copy(), bits - params.drop_bits, values)
        out = []
        for dropped in values:
            value = (int(dropped) << params.drop_bits) + (1 << params.drop_bits) // 2
            nearest = round(value * 2**params.ring_bits / prime)
            out.append(value - round(nearest * prime / 2**params.ring_bits))
        return np.array(out)


def test_limit_malformed_ciphertexts_read_a_layer_without_any_inference() -> None:
    """One bit of all weights that read an input a preparation, from the low end up: 16 weights of 12 bits in 24."""
    inputs, outputs, weight_bits = 2, 8, 12
    weight = np.random.default_rng(5).integers(-(1 << (weight_bits - 1)), 1 << (weight_bits - 1), (outputs, inputs))
    layer = LinearShape(name="a", source="x", in_channels=inputs, out_channels=outputs)
    plan = plan_linear([layer], 32, 12)
    params, packing = plan.params, plan.packings[0]
    assert params.kept == 1
    client, server = MalformedClient(plan), LinearHeServer(plan, {"a": weight})
    session = LinearHeSession(server, client.ciphertext([0] * params.degree).data)
    dropped, step = math.prod(params.primes[1:]), 1 << (params.prime_bits[0] - params.ring_bits)  # step: Q / 2^l
    found, preparations = np.zeros((outputs, inputs), np.int64), 0
    for channel in range(inputs):
        unit = np.zeros(layer.mask_shape, np.uint64)
        unit[channel] = 1
        place = packing.encode(unit[None]).reshape(-1)
        for known in range(weight_bits):
            # W * E has the next bit of W at the top of q / 2^l; the lower ones are known and taken off.
            error = dropped * step // 2 // (1 << known)
            request = client.ciphertext([int(c) * error for c in place])
            (answer,) = session.answers(0, request.data, [Prg(fresh_seed())])
            expected = found[:, channel] * error / dropped
            bits = np.rint((client.low_parts(answer) - expected) / (step / 2)).astype(np.int64) % 2
            found[:, channel] += bits << known
            preparations += 1
    found = (found + (1 << (weight_bits - 1))) % (1 << weight_bits) - (1 << (weight_bits - 1))
    np.testing.assert_array_equal(found, weight)
    assert preparations == 24  # and no inference
