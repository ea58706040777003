from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_artifact import tiny_artifact

from pi_system.artifact.graph import Add, AvgPool2d, Conv2d, Graph, Input, Linear, MaxPool2d, Node, Relu, Truncate
from pi_system.artifact.ring_config import RingConfig
from pi_system.errors import FixedPointRangeError
from pi_system.program.fixed_point import FixedInterpreter, _product, fixed_logits
from pi_system.program.float_point import FloatInterpreter
from pi_system.ring.prg import Prg

IntArray = NDArray[np.int64]


def run(nodes: list[Node], x: Any, *, shape: tuple[int, int, int], **parts: Any) -> IntArray:
    """Run nodes behind an input of 4 fraction bits; ``parts`` are RingConfig's and the interpreter's."""
    ring = RingConfig(
        ring_bits=parts.pop("ring_bits", 32),
        logit_bits=parts.pop("logit_bits", 31),
        frac_bits={"input": 4} | parts.pop("frac_bits", {}),
        weight_frac_bits=parts.pop("weight_frac_bits", {}),
        comparison_bits=parts.pop("comparison_bits", {}),
        compare_bits=parts.pop("compare_bits", {}),
    )
    graph = Graph(nodes=(Input(name="input", inputs=(), shape=shape), *nodes))
    masks, weights = parts.pop("masks", {}), parts.pop("weights", {})
    return FixedInterpreter(ring, masks, weights, **parts).run(graph, np.array(x, dtype=np.int64))


def relu(active: int, masked: bool = False) -> Relu:
    return Relu(name="r", inputs=("input",), shape=(1, 1, 6), active=active, masked=masked)


VALUES = [[[[-9, -8, -1, 0, 7, 8]]]]


def test_relu_rounds_to_nearest() -> None:
    out = run([relu(6)], VALUES, shape=(1, 1, 6), frac_bits={"r": 1}, comparison_bits={"r": 8})
    assert out.tolist() == [[[[0, 0, 0, 0, 1, 1]]]]


def test_inactive_positions_are_only_rounded() -> None:
    mask = np.array([[[False, True, False, True, True, False]]])
    out = run(
        [relu(3, masked=True)],
        VALUES,
        shape=(1, 1, 6),
        frac_bits={"r": 1},
        comparison_bits={"r": 8},
        masks={"r": mask},
    )
    assert out.tolist() == [[[[-1, 0, 0, 0, 1, 1]]]]


def test_range_check_names_the_layer_and_looks_at_active_positions_only() -> None:
    common: dict[str, Any] = {"shape": (1, 1, 6), "frac_bits": {"r": 4}, "check_range": True}
    run([relu(6)], VALUES, comparison_bits={"r": 5}, **common)
    with pytest.raises(FixedPointRangeError, match="node r"):
        run([relu(6)], VALUES, comparison_bits={"r": 4}, **common)
    mask = np.array([[[False, False, True, True, True, False]]])
    run([relu(3, masked=True)], VALUES, comparison_bits={"r": 4}, masks={"r": mask}, **common)


def test_the_range_of_a_relu_that_truncates_leaves_room_to_round() -> None:
    common: dict[str, Any] = {"shape": (1, 1, 1), "frac_bits": {"r": 2}, "comparison_bits": {"r": 6}}
    one = Relu(name="r", inputs=("input",), shape=(1, 1, 1), active=1)
    for value in (27, -27):
        run([one], [[[[value]]]], check_range=True, **common)
    for value in (28, -28):  # 2^5 - 2^2
        with pytest.raises(FixedPointRangeError, match="node r"):
            run([one], [[[[value]]]], check_range=True, **common)


def test_the_range_of_a_max_pool_is_that_of_differences() -> None:
    """Entries of both signs differ by twice their size, and padding is the smallest entry there may be."""
    pool = MaxPool2d(name="p", inputs=("input",), shape=(1, 1, 1), kernel=(1, 2), stride=(1, 2), padding=(0, 0))
    common: dict[str, Any] = {"shape": (1, 1, 2), "frac_bits": {"p": 4}, "comparison_bits": {"p": 8}}
    for few, most in (({}, 63), ({"p": 4}, 55)):  # 2^6 - 1; with 4 of 8 bits compared 2^6 - 2^3 - 1
        assert run([pool], [[[[-most, most]]]], compare_bits=few, check_range=True, **common).item() == most
        for entry in (most + 1, -most - 1):
            with pytest.raises(FixedPointRangeError, match=f"node p: expected values below {most + 1} "):
                run([pool], [[[[entry, 0]]]], compare_bits=few, check_range=True, **common)


def test_range_check_sees_what_wraps_and_what_logits_have_no_bits_for() -> None:
    common: dict[str, Any] = {"shape": (1, 1, 1), "frac_bits": {"a": 4}, "ring_bits": 10}
    doubled = Add(name="a", inputs=("input", "input"), shape=(1, 1, 1))
    run([doubled], [[[[255]]]], check_range=True, logit_bits=10, **common)
    assert run([doubled], [[[[256]]]], logit_bits=9, **common).tolist() == [[[[-512]]]]
    for value, bits in ((256, 10), (128, 9), (-128, 9)):
        with pytest.raises(FixedPointRangeError, match=f"node a: expected values below {1 << (bits - 1)} "):
            run([doubled], [[[[value]]]], check_range=True, logit_bits=bits, **common)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 63), st.booleans())
def test_products_are_exact_modulo_two_to_the_64_however_large_values_are(seed: int, bits: int, linear: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-(2**bits), 2**bits, (2, 6, 5, 5), endpoint=bits < 63)
    weight = rng.integers(-(2**15), 2**15, (4, 6, 3, 3))
    node: Any = Conv2d(
        name="c", inputs=("x",), shape=(4, 3, 3), in_channels=6, kernel=(3, 3), stride=(1, 1), padding=(0, 0)
    )
    if linear:
        x, weight = x.reshape(2, -1), rng.integers(-(2**15), 2**15, (4, 150))
        node = Linear(name="c", inputs=("x",), shape=(4,), in_features=150)
        expected = x @ weight.T
    else:
        expected = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(weight)).numpy()
    assert (_product(node, x, weight) == expected).all()


def naive_conv(x: IntArray, weight: IntArray, bias: IntArray, node: Conv2d) -> IntArray:
    """Convolution by its definition, in Python's integers."""
    out = np.zeros((len(x), *node.shape), dtype=object)
    per_group = node.in_channels // node.groups
    for n, o, i, j in np.ndindex(*out.shape):
        total = int(bias[o])
        base = o // (node.shape[0] // node.groups) * per_group
        for c, p, q in np.ndindex(*weight.shape[1:]):
            row, column = i * node.stride[0] + p - node.padding[0], j * node.stride[1] + q - node.padding[1]
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                total += int(x[n, base + c, row, column]) * int(weight[o, c, p, q])
        out[n, o, i, j] = total
    return out


@pytest.mark.parametrize("ring_bits", [20, 32, 64])
@pytest.mark.parametrize(("groups", "stride", "padding"), [(1, (1, 1), (1, 1)), (2, (2, 1), (0, 2))])
def test_convolution_wraps_like_python_integers(
    ring_bits: int, groups: int, stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    rng = np.random.default_rng(ring_bits + groups)
    half = 1 << (ring_bits - 1)
    x = rng.integers(-half, half - 1, (2, 4, 5, 6))
    weight, bias = rng.integers(-32767, 32768, (2, 4 // groups, 3, 3)), rng.integers(-half, half - 1, 2)
    height = (5 + 2 * padding[0] - 3) // stride[0] + 1
    width = (6 + 2 * padding[1] - 3) // stride[1] + 1
    node = Conv2d(
        name="c",
        inputs=("input",),
        shape=(2, height, width),
        in_channels=4,
        kernel=(3, 3),
        stride=stride,
        padding=padding,
        groups=groups,
    )
    out = run(
        [node],
        x,
        shape=(4, 5, 6),
        ring_bits=ring_bits,
        weight_frac_bits={"c": 3},
        frac_bits={"c": 7},
        weights={"c.weight": weight, "c.bias": bias},
    )
    expected = (naive_conv(x, weight, bias, node) + half) % (2 * half) - half
    assert (out == expected).all()


def test_add_aligns_the_scales() -> None:
    nodes: list[Node] = [
        Truncate(name="t", inputs=("input",), shape=(1, 1, 6)),
        Add(name="a", inputs=("t", "input"), shape=(1, 1, 6)),
    ]
    out = run(nodes, VALUES, shape=(1, 1, 6), frac_bits={"t": 2, "a": 4})
    assert out.tolist() == [[[[-8 - 9, -8 - 8, 0 - 1, 0, 8 + 7, 8 + 8]]]]


def test_with_coins_a_shift_rounds_to_either_neighbour_without_bias() -> None:
    values = np.full((4000, 1, 1, 6), [-21, -16, -5, 4, 11, 16])
    ring = {"frac_bits": {"r": 1}, "comparison_bits": {"r": 8}}
    out = run([relu(6)], values, shape=(1, 1, 6), **ring, coins=Prg(bytes(16)))[:, 0, 0]
    assert [set(column.tolist()) for column in out.T] == [{0}, {0}, {0}, {0, 1}, {1, 2}, {2}]
    assert np.abs(out[:, 3:].mean(axis=0) - np.array([4, 11, 16]) / 8).max() < 0.05


def test_average_pool_sums_or_multiplies_by_the_reciprocal() -> None:
    x = np.arange(9).reshape(1, 1, 3, 3)
    pool: dict[str, Any] = {"name": "p", "inputs": ("input",), "stride": (1, 1)}
    four = AvgPool2d(shape=(1, 2, 2), kernel=(2, 2), padding=(0, 0), **pool)
    assert run([four], x, shape=(1, 3, 3), frac_bits={"p": 6}).tolist() == [[[[8, 12], [20, 24]]]]
    nine = AvgPool2d(shape=(1, 1, 1), kernel=(3, 3), padding=(0, 0), **pool)
    out = run([nine], x, shape=(1, 3, 3), frac_bits={"p": 14}, weight_frac_bits={"p": 10})
    assert out.tolist() == [[[[36 * 114]]]]


def test_padding_never_wins_a_max_pool() -> None:
    x = -1 - np.arange(4).reshape(1, 1, 2, 2)
    pool = MaxPool2d(name="p", inputs=("input",), shape=(1, 2, 2), kernel=(2, 2), stride=(2, 2), padding=(1, 1))
    out = run([pool], x, shape=(1, 2, 2), frac_bits={"p": 4}, comparison_bits={"p": 8})
    assert out.tolist() == [[[[-1, -2], [-3, -4]]]]


def test_whole_artifact_by_hand() -> None:
    artifact = tiny_artifact()
    picture = np.array([[[[1.0, -1.0], [0.5, 2.0]]]], dtype=np.float32)
    integers, real = fixed_logits(artifact, picture)
    weights, graph = artifact.weights, artifact.public.graph
    conv = graph.nodes[1]
    assert isinstance(conv, Conv2d)
    y = naive_conv(
        (picture * 256).astype(np.int64),
        (weights["conv.weight"] * 1024).astype(np.int64),
        (weights["conv.bias"] * 2**18).astype(np.int64) + 384,
        conv,
    )
    y = np.where(artifact.masks["relu"], np.maximum(y, 0), y) >> 10
    logits = y.reshape(1, -1) @ (weights["fc.weight"] * 1024).astype(np.int64).T
    assert (integers == logits + (weights["fc.bias"] * 2**18).astype(np.int64)).all()
    assert (real == integers / 2**18).all()


@pytest.mark.parametrize("bits", [4, 5])
def test_with_coins_few_bits_make_a_linear_coin_of_the_sign(bits: int) -> None:
    """k = 9, t = 1: right where |x| >= 2^(k-n-1), nearer to zero kept with probability 1/2 + x / 2^(k-n)."""
    width, relus = 1 << (9 - bits), 4000
    column = np.arange(-width, width + 1)
    node = Relu(name="r", inputs=("input",), shape=(1, 1, column.size), active=column.size)
    ring: dict[str, Any] = {"frac_bits": {"r": 3}, "comparison_bits": {"r": 9}, "compare_bits": {"r": bits}}
    x = np.tile(column, (relus, 1))[:, None, None]
    exact = run([node], x, shape=(1, 1, column.size), **ring)[:, 0, 0]
    assert (exact == np.maximum(column + 1 >> 1, 0)).all()
    out = run([node], x, shape=(1, 1, column.size), **ring, coins=Prg(bytes(16)))[:, 0, 0]
    chance = np.clip(0.5 + column / width, 0, 1)
    limit = 5 * np.sqrt(chance * (1 - chance) * (column / 2) ** 2 / relus + 0.25 / relus)
    assert (np.abs(out.mean(axis=0) - chance * column / 2) <= limit).all()
    kept = out[:, np.abs(column) > 1] != 0
    assert (np.abs(kept.mean(axis=0) - chance[np.abs(column) > 1]) < 5 * 0.5 / np.sqrt(relus)).all()
    real = FloatInterpreter({}, {}, random_signs=({"r": 2.0 ** (8 - bits - 3)}, Prg(bytes(16))))
    graph = Graph(nodes=(Input(name="input", inputs=(), shape=(1, 1, column.size)), node))
    signs = real.run(graph, torch.from_numpy(x / 16.0)).numpy()[:, 0, 0] != 0
    assert (np.abs(signs.mean(axis=0) - chance)[column != 0] < 5 * 0.5 / np.sqrt(relus)).all()
    assert (signs.all(axis=0) | ~signs.any(axis=0) | (np.abs(column) < width / 2)).all()


def test_with_coins_a_max_pool_of_few_bits_loses_less_than_its_window() -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(-50, 50, (300, 1, 5, 5))
    pool = MaxPool2d(name="p", inputs=("input",), shape=(1, 3, 3), kernel=(3, 3), stride=(2, 2), padding=(1, 1))
    parts: dict[str, Any] = {"frac_bits": {"p": 4}, "comparison_bits": {"p": 9}, "compare_bits": {"p": 6}}
    best = run([pool], x, shape=(1, 5, 5), **parts)
    found = run([pool], x, shape=(1, 5, 5), **parts, coins=Prg(bytes(16)))
    assert (found != best).any()
    assert (found <= best).all()
    assert (found > best - 4 * 4).all()  # four comparisons in a row, a window of half 2^(g-1) = 4
    real = FloatInterpreter({}, {}, random_signs=({"p": 0.5}, Prg(bytes(16))))
    graph = Graph(nodes=(Input(name="input", inputs=(), shape=(1, 5, 5)), pool))
    close = real.run(graph, torch.from_numpy(x / 16.0)).numpy() * 16
    assert (close != best).any()
    assert ((close <= best) & (close > best - 4 * 4)).all()
