"""Derivation of parameters, and that the derived noise budget bounds the real noise."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pi_system.errors import ConfigError
from pi_system.protocols.linear_he.client import LinearHeClient
from pi_system.protocols.linear_he.layer import LinearShape
from pi_system.protocols.linear_he.packing import Bundle, Packing
from pi_system.protocols.linear_he.params import STATISTICAL_BITS, derive_params, worst_norm_bits
from pi_system.protocols.linear_he.plan import Chunk, LinearPlan
from pi_system.protocols.linear_he.seal import largest_modulus_bits
from pi_system.protocols.linear_he.server import LinearHeServer, LinearHeSession
from pi_system.ring.prg import Prg, fresh_seed


@pytest.mark.parametrize("norm_bits", [10, 14, 18, 22])
@pytest.mark.parametrize("ring_bits", [16, 24, *range(32, 46), 50, 54, 59])
def test_derived_parameters_hold(ring_bits: int, norm_bits: int) -> None:
    params = derive_params(ring_bits, norm_bits)
    assert params.noise_budget > 0
    assert math.prod(params.primes).bit_length() <= largest_modulus_bits(params.degree)
    assert all(p % (2 * params.degree) == 1 and p < 2**51 for p in params.primes)
    assert len(set(params.primes)) == len(params.primes)
    # The flood hides errors of the weights' norm and of the re-randomisation to 2^-40.
    deviation = math.sqrt((10.5 + 1 / 12) * 4**norm_bits + 14 * params.degree)
    assert deviation / 2 ** (params.flood_bits + 1) <= 2.0**-STATISTICAL_BITS


def test_the_ring_of_the_design_fits_the_small_degree() -> None:
    assert derive_params(41, 14).degree == 4096
    assert derive_params(32, 22).degree == 4096
    assert largest_modulus_bits(4096) == 109


@pytest.mark.parametrize("ring_bits", [8, 15, 60, 64])
def test_rings_out_of_reach_are_refused(ring_bits: int) -> None:
    with pytest.raises(ConfigError, match="ring_bits"):
        derive_params(ring_bits, 14)


def test_a_budget_that_does_not_hold_is_refused() -> None:
    params = derive_params(41, 14)
    with pytest.raises(ConfigError, match="noise budget"):
        replace(params, ring_bits=42)
    with pytest.raises(ConfigError, match="noise budget"):
        replace(params, drop_bits=params.drop_bits + 3)
    with pytest.raises(ConfigError, match="flood_bits"):
        replace(params, norm_bits=16)
    with pytest.raises(ConfigError, match="at most 109 bits"):
        replace(params, primes=(*params.primes, 65537))
    with pytest.raises(ConfigError, match="norm"):
        derive_params(41, 90)


def test_worst_norm_counts_the_largest_fan_in() -> None:
    small = LinearShape(name="a", source="x", in_channels=16, out_channels=1)
    large = LinearShape(name="b", source="y", in_channels=64, out_channels=2, in_size=(8, 8), kernel=(4, 4), groups=1)
    assert worst_norm_bits([small, large]) == 15 + 5
    assert worst_norm_bits([small], weight_bits=10) == 12


@pytest.mark.parametrize(("ring_bits", "norm_bits"), [(41, 18), (32, 14), (45, 18)])
def test_real_noise_stays_within_the_budget(ring_bits: int, norm_bits: int) -> None:
    """All weights as large as the norm allows, all coefficients read, so that SEAL can measure the whole noise."""
    params = derive_params(ring_bits, norm_bits)
    layer = LinearShape(name="a", source="x", in_channels=16, out_channels=params.degree)
    plan = LinearPlan((layer,), params, (Packing(Bundle((layer,)), params.degree, 1, 1),))
    weight = np.full((params.degree, 16), 2 ** (norm_bits - 2), np.int64)
    client, server = LinearHeClient(plan), LinearHeServer(plan, {"a": weight})
    session = LinearHeSession(server, client.hello().data)
    mask = Prg(fresh_seed()).ring(16, ring_bits)
    request = client.request(0, mask)
    (answer,) = session.answers(0, request.data, Prg(fresh_seed()))
    share = np.empty(layer.share_shape, mask.dtype)
    budgets = []
    seal = client._seal
    decrypt = seal._decryptor.decrypt

    class Measuring:
        def decrypt(self, ciphertext: object, plaintext: object) -> None:
            budgets.append(measured(ciphertext))
            decrypt(ciphertext, plaintext)

    measured = seal._decryptor.invariant_noise_budget
    seal._decryptor = Measuring()
    client.receive(0, Chunk(0, 0, 1), answer, share)
    assert budgets[0] >= math.floor(params.noise_budget)
    assert budgets[0] <= params.noise_budget + 3  # the bound is not far from what happens
