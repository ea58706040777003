"""Encode and decode of a convolution as products of polynomials, over the integers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ideal_linear import ring_product
from layers import conv3

from pi_system.errors import ConfigError
from pi_system.protocols.linear_he.layer import LinearShape
from pi_system.protocols.linear_he.packing import LayerBundle, Packing

DEGREE = 256


def negacyclic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a b modulo x^n + 1 for small integers."""
    size = 2 * DEGREE
    product = np.rint(np.fft.irfft(np.fft.rfft(a, size) * np.fft.rfft(b, size), size)).astype(np.int64)
    return product[:DEGREE] - product[DEGREE:]


def evaluate(packing: Packing, index: int, masks: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """One layer of every picture through its polynomials; what no answer fills stays at what cannot be right."""
    inputs = packing.encode(masks.astype(np.uint64)).astype(np.int64)
    out = np.full((len(masks), *packing.bundle.layers[index].share_shape), -(10**9), np.int64)
    for answer in range(packing.answers[index]):
        narrow = packing.weight_polynomials(index, answer, weight)
        polynomials = np.zeros((len(narrow), DEGREE), np.int64)
        polynomials[:, :: packing.pictures * packing.steps[index]] = narrow
        (low, high), terms = packing.outputs(index, answer), packing.terms(index, answer)
        for band in range(packing.bands):
            total = np.zeros(DEGREE, np.int64)
            for term, polynomial in zip(terms, polynomials, strict=True):
                total += negacyclic(inputs[band, term], polynomial)
            top, bottom = packing.rows(band)
            values = total[packing.positions(index, answer, band)]
            out[:, low:high, top:bottom] = values.reshape(-1, high - low, bottom - top, packing.out_cols)
    return out


@st.composite
def bundles(draw: st.DrawFn) -> LayerBundle:
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    sizes: dict[str, Any] = {
        "in_channels": groups * draw(st.integers(1, 5)),
        "in_size": draw(st.tuples(st.integers(1, 12), st.integers(1, 12))),
        "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
    }
    try:
        first = LinearShape(
            name="conv",
            source="x",
            out_channels=groups * draw(st.integers(1, 5)),
            kernel=draw(pair),
            padding=draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
            groups=groups,
            **sizes,
        )
        second = LinearShape(name="shortcut", source="x", out_channels=draw(st.integers(1, 6)), **sizes)
    except ConfigError:
        assume(False)
    return LayerBundle((first, second) if first.out_size == second.out_size else (first,))


@settings(max_examples=150)
@given(
    bundles(),
    st.integers(1, 12),
    st.integers(1, 15),
    st.sampled_from([1, 1, 2, 4]),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 2**32 - 1),
)
def test_products_of_polynomials_are_the_convolution(
    bundle: LayerBundle, rows: int, channels: int, pictures: int, step: int, seed: int
) -> None:
    rows = min(rows, bundle.layers[0].out_size[0])
    try:
        packing = Packing(bundle, DEGREE, min(channels, bundle.channels), rows, pictures, step)
    except ConfigError:
        assume(False)
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, 50, (pictures, *bundle.layers[0].mask_shape))
    for index, layer in enumerate(bundle.layers):
        weight = rng.integers(-9, 10, layer.weight_shape).astype(np.int32)
        window = layer.stride, layer.padding, layer.groups
        ideal = np.stack([ring_product(mask.astype(np.uint64), weight, *window, 64) for mask in masks])
        np.testing.assert_array_equal(evaluate(packing, index, masks, weight), ideal.view(np.int64))


def test_pictures_share_ciphertexts_where_that_is_cheaper_and_no_two_share_a_coefficient() -> None:
    layer = conv3("a", "x", 64, 8, out=64)
    one, sixteen = (Packing.cheapest(LayerBundle((layer,)), 8192, 2.0, 1.0, pictures) for pictures in (1, 16))
    assert sixteen.cost(2.0, 1.0) / 16 < one.cost(2.0, 1.0) / 3
    places = sixteen.positions(0, 0, 0)
    assert len(set(places.tolist())) == places.size == 16 * sixteen.per_output[0] * 64
    assert {int(place) % 16 for place in places.reshape(16, -1)[5]} == {5}


def pointwise(name: str, channels: int, size: int, out: int) -> LinearShape:
    return LinearShape(name=name, source="x", in_channels=channels, out_channels=out, in_size=(size, size))


@pytest.mark.parametrize(("size", "step"), [(56, 64), (28, 32), (14, 8), (1, 1)])
def test_weights_of_1x1_convolutions_are_polynomials_of_a_power_of_x(size: int, step: int) -> None:
    """S is 196 on 14 x 14, where 200 are as good, and 1 for what is fully connected."""
    bundle = LayerBundle((pointwise("a", 256, size, 1024),))
    found, least = (Packing.cheapest(bundle, 8192, 2.0, 1.0, weight_cost=cost) for cost in (1e-9, 0.0))
    assert found.steps == [step]
    assert found.weight_degree(0) == 8192 // step
    assert found.cost(2.0, 1.0) == least.cost(2.0, 1.0)


def test_s_is_rounded_up_as_far_as_the_weights_are_worth_it() -> None:
    bundle = LayerBundle((pointwise("a", 256, 7, 1024),))
    found = [Packing.cheapest(bundle, 8192, 2.0, 1.0, weight_cost=cost) for cost in (0.0, 1e-6, 1.0)]
    assert [packing.steps[0] for packing in found] == [1, 4, 64]
    costs = [packing.cost(2.0, 1.0) for packing in found]
    assert costs == sorted(set(costs))


def test_a_1x1_convolution_beside_a_wider_one_has_weights_of_its_own_degree() -> None:
    bundle = LayerBundle((conv3("a", "x", 16, 15, out=64), pointwise("b", 16, 15, 64)))
    found = Packing.cheapest(bundle, 8192, 2.0, 1.0, weight_cost=1.0)
    assert found.steps[0] == 1 < found.steps[1]


def test_cheapest_balances_both_directions() -> None:
    layer = conv3("a", "x", 64, 8, out=64)
    found = Packing.cheapest(LayerBundle((layer,)), 4096, 2.0, 1.0)
    room = 4096 // 81  # channels of 9 x 9 with their shared zeros
    costs = {m: 2 * -(-64 // m) - (-64 // (room // m)) for m in range(1, room + 1)}
    assert 2 * found.inputs + found.answers[0] == min(costs.values()) < min(costs[1], costs[room])


def test_larger_pictures_are_cut_into_bands() -> None:
    layer = LinearShape(
        name="a", source="x", in_channels=1, out_channels=1, in_size=(40, 30), kernel=(3, 3), padding=(1, 1)
    )
    packing = Packing.cheapest(LayerBundle((layer,)), DEGREE, 1.0, 1.0)
    assert packing.bands > 1
    mask, weight = np.arange(1200).reshape(1, 40, 30), np.arange(9, dtype=np.int32).reshape(1, 1, 3, 3)
    ideal = ring_product(mask.astype(np.uint64), weight, (1, 1), (1, 1), 1, 64)
    np.testing.assert_array_equal(evaluate(packing, 0, mask[None], weight)[0], ideal.view(np.int64))


def test_depthwise_leaves_out_products_without_weights() -> None:
    layer = conv3("a", "x", 32, 6, out=32, groups=32)
    packing = Packing(LayerBundle((layer,)), DEGREE, 5, 6)
    assert packing.inputs == 7
    assert [packing.terms(0, answer).size for answer in range(packing.answers[0])] == [1] * 32


def test_a_row_that_does_not_fit_is_refused() -> None:
    layer = LinearShape(name="wide", source="x", in_channels=1, out_channels=1, in_size=(2, 300))
    with pytest.raises(ConfigError, match="wide"):
        Packing.cheapest(LayerBundle((layer,)), DEGREE, 1.0, 1.0)
