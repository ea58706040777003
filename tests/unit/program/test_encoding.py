import numpy as np
import pytest
from tiny_artifact import GRAPH, RING, tiny_artifact

from pi_system.artifact.graph import AvgPool2d
from pi_system.errors import FixedPointRangeError
from pi_system.program.encoding import encode, encode_input, logits_to_float, pool_factor, quantise_weights, wrap


def test_encoding_rounds_half_to_even() -> None:
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.49, -2.51]) / 4
    assert encode(values, 2, 16, "v").tolist() == [0, 2, 2, 0, -2, 0, -3]


@pytest.mark.parametrize("value", [8.0, -8.0, np.inf, -np.inf, np.nan])
def test_values_outside_the_range_are_refused(value: float) -> None:
    assert encode(np.array([7.75, -7.75]), 4, 8, "v").tolist() == [124, -124]
    with pytest.raises(FixedPointRangeError, match="below 2"):
        encode(np.array([0.0, value]), 4, 8, "v")


@pytest.mark.parametrize("ring_bits", [8, 13, 32, 64])
def test_wrap_is_the_signed_representative(ring_bits: int) -> None:
    half = 1 << (ring_bits - 1)
    values = [0, 1, -1, half - 1, -half]
    assert wrap(np.array(values, dtype=np.int64), ring_bits).tolist() == values
    if ring_bits < 64:
        shifted = np.array([v + 3 * (1 << ring_bits) for v in values], dtype=np.int64)
        assert wrap(shifted, ring_bits).tolist() == values


def test_input_and_logits_use_their_nodes_scale() -> None:
    assert encode_input(np.full((1, 1, 2, 2), 0.75, dtype=np.float32), GRAPH, RING).tolist() == [
        [[[192, 192], [192, 192]]]
    ]
    assert logits_to_float(np.array([[3 << 18, -(1 << 17)]]), GRAPH, RING).tolist() == [[3.0, -0.5]]


def test_weights_and_biases_are_rounded_integers() -> None:
    artifact = tiny_artifact()
    integers = quantise_weights(GRAPH, RING, artifact.weights)
    assert integers["conv.weight"].flatten()[:2].tolist() == [-576, -512]
    assert integers["conv.bias"].tolist() == [1 << 16, -(1 << 17)]
    assert integers["fc.bias"].tolist() == [1 << 15, 0]


def test_weight_over_sixteen_bits_is_refused() -> None:
    weights = {name: tensor * 40 for name, tensor in tiny_artifact().weights.items()}
    with pytest.raises(FixedPointRangeError, match=r"fc\.weight"):
        quantise_weights(GRAPH, RING, weights)


def test_pool_factor_is_one_for_a_power_of_two() -> None:
    pool = AvgPool2d(name="p", inputs=("x",), shape=(1,), kernel=(3, 3), stride=(1, 1), padding=(0, 0))
    assert pool_factor(pool, RING.model_copy(update={"weight_frac_bits": {"p": 12}})) == 455
    assert pool_factor(pool.model_copy(update={"kernel": (2, 4)}), RING) == 1
