from collections.abc import Callable

import numpy as np
import pytest
from changed_artifact import with_compare_bits
from noisy_interpreter import noisy_logits
from random_networks import random_small_artifact, random_square_artifact
from tiny_artifact import tiny_artifact

from pi_system.artifact import Artifact
from pi_system.artifact.graph import Flatten, Graph, Input, Linear, Relu
from pi_system.artifact.ring_config import RingConfig
from pi_system.export.random import random_pictures
from pi_system.program import square_count
from pi_system.program.encoding import encode_input, quantise_weights
from pi_system.program.error_bound import artifact_ulp_bound, ulp_bound
from pi_system.program.fixed_point import FixedInterpreter, fixed_logits
from pi_system.program.float_point import float_logits
from pi_system.ring.prg import Prg


def test_bound_of_a_small_network_by_hand() -> None:
    # Active ReLUs are off by [0, 1] and inactive ones by [-1, 1] ulp, each times its integer fc weight.
    artifact = tiny_artifact()
    active = artifact.masks["relu"].reshape(-1)
    weights = (artifact.weights["fc.weight"] * 1024).astype(int)
    high = np.where(active, np.maximum(weights, 0), np.abs(weights)).sum(axis=1)
    low = np.where(active, np.maximum(-weights, 0), np.abs(weights)).sum(axis=1)
    expected = np.maximum(high, low)
    found = artifact_ulp_bound(artifact)
    assert (expected <= found).all()
    assert (found <= expected + 1).all()


def test_a_rounding_can_go_either_way_at_every_position() -> None:
    """Two positions, weights 1000 and -1000: one rounded up, the other down, is 2000 ulps away."""
    nodes = (
        Input(name="input", inputs=(), shape=(1, 1, 2)),
        Relu(name="relu", inputs=("input",), shape=(1, 1, 2), active=2),
        Flatten(name="flatten", inputs=("relu",), shape=(2,)),
        Linear(name="fc", inputs=("flatten",), shape=(1,), in_features=2),
    )
    ring = RingConfig(
        ring_bits=32,
        logit_bits=24,
        frac_bits={"input": 4, "relu": 1, "flatten": 1, "fc": 11},
        weight_frac_bits={"fc": 10},
        comparison_bits={"relu": 8},
    )
    weights = {"fc.weight": np.array([[1000, -1000]]), "fc.bias": np.zeros(1, np.int64)}
    (found,) = ulp_bound(Graph(nodes=nodes), ring, {}, weights)
    assert 2000 <= found <= 2001


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("bits", [4, 7])
def test_random_signs_stay_within_the_bound(seed: int, bits: int) -> None:
    artifact = with_compare_bits(random_small_artifact(seed), bits)
    graph, ring = artifact.public.graph, artifact.public.ring
    pictures = random_pictures(graph.input.shape, 200, seed)
    weights, bound = quantise_weights(graph, ring, artifact.weights), artifact_ulp_bound(artifact)
    drawn = FixedInterpreter(ring, artifact.masks, weights, coins=Prg(bytes(16)))
    difference = drawn.run(graph, encode_input(pictures, graph, ring)) - fixed_logits(artifact, pictures)[0]
    assert (np.abs(difference) <= bound).all()
    assert (np.abs(difference) > artifact_ulp_bound(random_small_artifact(seed)) / 1000).any()
    assert (bound > artifact_ulp_bound(random_small_artifact(seed))).all()


@pytest.mark.parametrize("extreme", [-1, 0, 1])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("network", [random_small_artifact, random_square_artifact])
def test_every_allowed_error_stays_within_the_bound(
    network: Callable[[int], Artifact], seed: int, extreme: int
) -> None:
    artifact = network(seed)
    assert (square_count(artifact.public.graph) > 0) == (network is random_square_artifact)
    pictures = random_pictures(artifact.public.graph.input.shape, 16, seed)
    exact, fixed = fixed_logits(artifact, pictures, check_range=True)
    assert np.abs(fixed - float_logits(artifact, pictures)).max() < 0.05
    difference = np.abs(noisy_logits(artifact, pictures, seed, extreme) - exact).max(axis=0)
    bound = artifact_ulp_bound(artifact)
    assert (difference <= bound).all()
    # The bound is not just huge; that of the product of many errors is wide.
    assert difference.any() if network is random_square_artifact else (difference > bound / 1000).any()
