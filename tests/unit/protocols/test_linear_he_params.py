"""Derivation of parameters, and that the derived noise budget bounds the real noise."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from exact_rlwe import Exact, oracle
from seal import MAX_PLAIN_BITS, accepts_at_128_bits, largest_primes, secret_of

from pi_system.errors import ConfigError
from pi_system.kernels.packing import Words, packed_bytes, unpack_bits
from pi_system.program.encoding import weight_norm_bits
from pi_system.protocols.linear_he.client import LinearHeClient
from pi_system.protocols.linear_he.layer import LinearShape
from pi_system.protocols.linear_he.packing import LayerBundle, Packing
from pi_system.protocols.linear_he.params import (
    MAX_RING_BITS,
    MIN_RING_BITS,
    STATISTICAL_BITS,
    HeParams,
    _error_deviation,
    derive_params,
    worst_norm_bits,
)
from pi_system.protocols.linear_he.plan import AnswerChunk, LinearPlan, plan_linear, plan_together
from pi_system.protocols.linear_he.primes import make_primes
from pi_system.protocols.linear_he.server import LinearHeServer, LinearHeSession
from pi_system.ring.prg import Prg, fresh_seed

GUIDELINE = {1024: 26, 2048: 53, 4096: 106, 8192: 214, 16384: 430, 32768: 868}
"""eprint 2024/463: largest log2 q at 128 bits, ternary secret, classical attacks."""

RESNET18 = 600_000
"""Outputs of linear layers, about."""


@pytest.mark.parametrize("norm_bits", [*range(6, 27)])
@pytest.mark.parametrize("coefficients", [10, 20_000, RESNET18, 1 << 24])
def test_every_parameter_set_in_reach_meets_the_guideline_and_its_budget(norm_bits: int, coefficients: int) -> None:
    for ring_bits in range(MIN_RING_BITS, MAX_RING_BITS + 1):
        params = derive_params(ring_bits, norm_bits, coefficients)
        assert params.noise_budget > 0
        assert math.prod(params.primes).bit_length() <= GUIDELINE[params.degree]
        assert all(p % (2 * params.degree) == 1 and p < 2**51 for p in params.primes)
        assert len(set(params.primes)) == len(params.primes)
        assert params.flood_distance() <= 2.0**-STATISTICAL_BITS


def test_what_the_flood_hides_for_a_large_network_and_a_million_preparations() -> None:
    params = derive_params(32, 14, RESNET18)
    assert 2.0**-41.1 < params.flood_distance() <= 2.0**-40
    assert params.flood_distance(1 << 20) <= 2.0**-30
    assert params.degree == 4096


@pytest.mark.parametrize(("ring_bits", "norm_bits"), [(32, 14), (45, 18)])
def test_the_stated_distance_is_that_of_all_errors_of_all_inferences(ring_bits: int, norm_bits: int) -> None:
    """With the formula that the next test checks: N coefficients, and the errors of encryption and masks."""
    params = derive_params(ring_bits, norm_bits, 1000)
    error = math.sqrt((21 / 2 + 1 / 12) * 4.0**norm_bits + 14 * params.degree)
    width = 2.0**params.flood_bits
    one = (error / width) ** 2 / 4 * (math.log(width / error) + 4)
    for inferences in (1, 1 << 10):
        assert params.flood_distance(inferences) == pytest.approx(math.sqrt(2 * 1000 * inferences * one), rel=1e-9)


@pytest.mark.parametrize(("width", "error"), [(1 << 8, 1), (1 << 14, 1), (1 << 18, 3), (1 << 16, 64), (1 << 12, 200)])
def test_the_stated_distance_bounds_that_of_a_shifted_triangle(width: int, error: int) -> None:
    x = np.arange(-2 * width, 2 * width + 1)
    density = np.maximum(width - np.abs(x), 0) / width**2
    moved = np.roll(density, error)
    squared = ((np.sqrt(density) - np.sqrt(moved)) ** 2).sum() / 2
    bound = (error / width) ** 2 / 4 * (math.log(width / error) + 4)
    assert 0.5 * bound < squared <= bound
    assert np.abs(density - moved).sum() / 2 <= math.sqrt(2 * bound)


def errors_before_the_flood(plan: LinearPlan, weight: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of every coefficient of the first answer, in exact integers: fresh errors times the answer's weights."""
    params, packing = plan.params, plan.packings[0]
    secret = np.random.default_rng(1).integers(-1, 2, params.degree)
    exact, modulus = Exact(params.degree, params.primes, params.ring_bits, secret), math.prod(params.primes)
    total = np.zeros(params.degree, np.int64)
    for narrow in packing.weight_polynomials(0, 0, weight.astype(np.int32)):
        fresh = exact.phases(exact.encrypt(np.zeros(params.degree, np.uint64)))
        error = np.array([value - modulus if value > modulus // 2 else value for value in fresh], np.int64)
        both = np.concatenate([-error, error])
        for exponent in np.flatnonzero(narrow):
            at = params.degree - int(exponent) * packing.pictures
            total += int(narrow[exponent]) * both[at : at + params.degree]
    return total


@pytest.mark.parametrize("pictures", [1, 4])
@pytest.mark.parametrize(
    "layer",
    [
        LinearShape(name="a", source="x", in_channels=4, out_channels=1024),
        LinearShape(
            name="a", source="x", in_channels=8, out_channels=32, in_size=(4, 4), kernel=(3, 3), padding=(1, 1)
        ),
    ],
)
def test_the_flood_hides_the_errors_that_weights_of_all_outputs_of_an_answer_make(
    layer: LinearShape, pictures: int
) -> None:
    """All weights as large as the public norm allows: the deviation is at most the one that the flood is made for."""
    size = 2 ** (9 - layer.fan_in.bit_length() // 2)
    weight = np.random.default_rng(0).choice([-size, size], layer.weight_shape)
    plan = plan_together(plan_linear([layer], 37, weight_norm_bits([weight])), pictures)
    assert plan.packings[0].per_output[0] > 4
    measured = errors_before_the_flood(plan, weight).astype(float).std()
    stated = _error_deviation(plan.params.norm_bits, plan.params.degree, plan.params.outputs)
    assert stated / 8 < measured <= 1.05 * stated  # a sample of errors that depend on one another
    shift = measured / 2.0**plan.params.flood_bits
    assert (
        math.sqrt(2 * plan.params.coefficients * shift**2 / 4 * (4 - math.log(shift))) <= 1.05 * 2.0**-STATISTICAL_BITS
    )


def test_outputs_of_an_answer_are_counted_over_all_coefficients_and_widen_the_flood() -> None:
    wide = LinearShape(name="a", source="x", in_channels=16, out_channels=1000)
    many = LinearShape(name="b", source="y", in_channels=16, out_channels=16, in_size=(32, 32))
    alone, both = plan_linear([wide], 32, 14), plan_linear([wide, many], 32, 14)
    assert alone.mean_outputs == pytest.approx(sum(s * s for s in _sizes(alone)) / 1000)
    assert alone.mean_outputs > 100 > 20 > both.mean_outputs
    assert alone.params.outputs >= alone.mean_outputs > alone.params.outputs / 2
    assert alone.params.flood_bits > derive_params(32, 14, 1000).flood_bits
    with pytest.raises(ConfigError, match="flood_bits"):
        replace(alone.params, outputs=16 * alone.params.outputs)


def _sizes(plan: LinearPlan) -> list[int]:
    (packing,) = plan.packings
    return [high - low for low, high in (packing.outputs(0, answer) for answer in range(packing.answers[0]))]


def test_groups_are_of_powers_of_two_and_within_the_parameters_of_one_picture() -> None:
    alone = plan_linear([LinearShape(name="a", source="x", in_channels=4, out_channels=1024)], 37, 9)
    for pictures in (0, 3, 12):
        with pytest.raises(ConfigError, match="power of two"):
            plan_together(alone, pictures)
    assert plan_together(alone, 16).params is alone.params
    small = replace(alone, params=replace(alone.params, outputs=1))
    with pytest.raises(ConfigError, match="outputs: expected at most 1 in the mean"):
        plan_together(small, 4)


def test_rings_of_32_bits_fit_the_small_degree() -> None:
    assert derive_params(32, 14, RESNET18).degree == 4096
    assert derive_params(41, 14, RESNET18).degree == 8192


def noise_of(count: int) -> tuple[list[int], HeParams]:
    """What the server really adds to ``count`` coefficients: weights, mask of the client and zero key all zero.

    Nothing is dropped, so that the noise is seen in full; errors of encryption are 2^-40 of it.
    """
    layer = LinearShape(name="a", source="x", in_channels=8, out_channels=count)
    plan = plan_linear([layer], 41, 14)
    params = replace(plan.params, ring_bits=16, kept=len(plan.params.primes), drop_bits=0)
    plan = replace(plan, params=params)
    server = LinearHeServer(plan, {"a": np.zeros((count, 8), np.int64)})
    client = LinearHeClient(plan, Prg(fresh_seed()))
    session = LinearHeSession(server, client.hello().data)
    session._zero = np.zeros_like(session._zero)
    prg_seed = fresh_seed()
    out: list[int] = []
    packing, modulus = plan.packings[0], math.prod(params.primes)
    shares = server.shares(Prg(prg_seed))["a"].reshape(-1)
    request = client.request(0, np.zeros(8, np.uint64))
    messages = session.answers(0, request.data, [Prg(prg_seed)])
    for chunk, message in zip(plan.chunks(0), messages, strict=True):
        data, at = np.frombuffer(message, np.uint8), 0
        for answer in chunk.answers:
            low, high = packing.outputs(0, answer)
            residues = []
            for size, skipped in ((params.degree, True), (high - low, False)):
                for bits in params.prime_bits:
                    values, end = np.empty(size, np.uint64), at + packed_bytes(size, bits)
                    unpack_bits(data[at:end].copy(), bits, values)
                    at = end
                    if not skipped:
                        residues.append(values)
            for i in range(high - low):
                value = sum(
                    int(r[i]) * (modulus // p) * pow(modulus // p, -1, p)
                    for r, p in zip(residues, params.primes, strict=True)
                )
                mask = -int(shares[low + i]) % 2**params.ring_bits
                value = (value - (modulus * mask + 2 ** (params.ring_bits - 1)) // 2**params.ring_bits) % modulus
                out.append(value - modulus if value > modulus // 2 else value)
    return out, params


def test_the_flood_really_drawn_has_the_stated_range_and_variance() -> None:
    drawn, params = noise_of(6000)
    noise = np.array(drawn, float) / 2.0**params.flood_bits
    assert np.abs(noise).max() <= 1 + 1e-9
    assert noise.max() > 0.95
    assert noise.min() < -0.95
    assert abs(noise.mean()) < 0.04
    assert abs(noise.var() - 1 / 6) < 0.015  # a triangle; uniform noise has 1 / 3
    counts, _ = np.histogram(noise, bins=8, range=(-1, 1))
    expected = np.array([1, 3, 5, 7, 7, 5, 3, 1]) / 32 * noise.size
    assert (np.abs(counts - expected) < 6 * np.sqrt(expected)).all()
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.08


@pytest.mark.parametrize("ring_bits", [8, 15, 65])
def test_rings_out_of_reach_are_refused(ring_bits: int) -> None:
    with pytest.raises(ConfigError, match="ring_bits"):
        derive_params(ring_bits, 14, 1)


def test_a_budget_that_does_not_hold_is_refused() -> None:
    params = derive_params(32, 14, RESNET18)
    with pytest.raises(ConfigError, match="noise budget"):
        replace(params, ring_bits=34)
    with pytest.raises(ConfigError, match="noise budget"):
        replace(params, drop_bits=params.drop_bits + 3)
    with pytest.raises(ConfigError, match="flood_bits"):
        replace(params, norm_bits=16)
    with pytest.raises(ConfigError, match="flood_bits"):
        replace(params, coefficients=8 * RESNET18)
    with pytest.raises(ConfigError, match="flood_bits"):
        replace(params, flood_bits=params.flood_bits - 1)
    with pytest.raises(ConfigError, match="at most 106 bits"):
        replace(params, primes=(*params.primes, 65537))
    with pytest.raises(ConfigError, match="norm"):
        derive_params(41, 90, 1)


def test_worst_norm_counts_the_largest_fan_in() -> None:
    small = LinearShape(name="a", source="x", in_channels=16, out_channels=1)
    large = LinearShape(name="b", source="y", in_channels=64, out_channels=2, in_size=(8, 8), kernel=(4, 4), groups=1)
    assert worst_norm_bits([small, large]) == 15 + 5
    assert worst_norm_bits([small], weight_bits=10) == 12


@pytest.mark.parametrize("ring_bits", range(MIN_RING_BITS, MAX_RING_BITS + 1))
def test_real_noise_stays_within_the_budget(ring_bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All weights as large as the norm allows, all coefficients read, so that an oracle can measure the whole noise."""
    norm_bits = 6 + ring_bits % 16
    params, prg_seed = derive_params(ring_bits, norm_bits, RESNET18), fresh_seed()
    layer = LinearShape(name="a", source="x", in_channels=16, out_channels=params.degree)
    plan = LinearPlan((layer,), params, (Packing(LayerBundle((layer,)), params.degree, 1, 1),))
    weight = np.full((params.degree, 16), 2 ** (norm_bits - 2), np.int64)
    client, server = LinearHeClient(plan, Prg(prg_seed)), LinearHeServer(plan, {"a": weight})
    session = LinearHeSession(server, client.hello().data)
    mask = Prg(fresh_seed()).ring(16, ring_bits)
    (answer,) = session.answers(0, client.request(0, mask).data, [Prg(fresh_seed())])
    other = oracle(params.degree, params.primes[: params.kept], ring_bits, secret_of(params, Prg(prg_seed)))
    measured, decrypt = [], client._key.decrypt

    def both(first: Words, second: Words, positions: npt.NDArray[np.int32]) -> Words:
        whole = np.zeros((2, *second.shape), np.uint64)
        whole[0][:, positions], whole[1] = first, second
        measured.append(other.noise_budget(whole))
        found = decrypt(first, second, positions)
        np.testing.assert_array_equal(found, other.decrypt(whole)[positions])
        return found

    monkeypatch.setattr(client._key, "decrypt", both)
    client.receive(0, AnswerChunk(0, 0, 1), answer, np.empty((1, *layer.share_shape), mask.dtype))
    assert measured[0] >= math.floor(params.noise_budget)
    assert measured[0] <= params.noise_budget + 3  # the bound is not far from what happens


def test_seal_chooses_the_same_primes_and_takes_them_as_128_bits() -> None:
    for ring_bits in range(MIN_RING_BITS, MAX_RING_BITS + 1):
        params = derive_params(ring_bits, 14, RESNET18)
        assert largest_primes(params.degree, list(params.prime_bits)) == set(params.primes)
        assert accepts_at_128_bits(params.degree, params.primes, min(ring_bits, MAX_PLAIN_BITS))


def test_primes_are_the_largest_of_their_size() -> None:
    for size in range(9, 17):
        sieve = [p for p in range(1 << size - 1, 1 << size) if p % 128 == 1 and all(p % d for d in range(2, 1 << 8))]
        assert make_primes(64, [size] * len(sieve)) == tuple(reversed(sieve))
        with pytest.raises(ConfigError, match=f"one more of {size} bits"):
            make_primes(64, [size] * (len(sieve) + 1))
