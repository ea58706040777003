"""Fixed point against real numbers, on random values and random networks."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy_interpreter import noisy_logits
from random_networks import random_network

from pi_system.export.random import random_artifact, random_pictures, randomise
from pi_system.program.encoding import encode, wrap
from pi_system.program.error_bound import artifact_ulp_bound
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import float_logits


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20), st.integers(0, 40))
def test_encoding_is_within_half_an_ulp(values: list[float], frac_bits: int) -> None:
    encoded = encode(np.array(values), frac_bits, 64, "values")
    assert (np.abs(encoded / 2.0**frac_bits - values) <= 0.5 / 2.0**frac_bits).all()


@given(st.integers(-(2**63), 2**63 - 1), st.integers(8, 64))
def test_wrap_is_congruent_and_in_range(value: int, ring_bits: int) -> None:
    wrapped = int(wrap(np.array([value]), ring_bits)[0])
    assert (wrapped - value) % (1 << ring_bits) == 0
    assert -(1 << (ring_bits - 1)) <= wrapped < 1 << (ring_bits - 1)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_random_network_is_the_same_in_torch_float_and_fixed_point(seed: int) -> None:
    network, shape = random_network(seed)
    artifact = random_artifact(network, shape, seed, f"random:{seed}")
    pictures = random_pictures(shape, 8, seed + 100)
    with torch.no_grad():
        expected = randomise(network, shape, seed)(torch.from_numpy(pictures)).numpy()
    real = float_logits(artifact, pictures)
    assert np.abs(real - expected).max() < 0.02 * max(1.0, float(np.abs(expected).max()))
    integers, fixed = fixed_logits(artifact, pictures, check_range=True)
    assert np.abs(fixed - real).max() < 0.05
    noise = np.abs(noisy_logits(artifact, pictures, seed) - integers)
    assert (noise <= artifact_ulp_bound(artifact)).all()
