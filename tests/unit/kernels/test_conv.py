"""RingConv2d against a plain numpy convolution: every path, both carriers, extremes, ranges, threads and errors."""

import numpy as np
import numpy.typing as npt
import pytest

from pi_system.kernels.conv import RingArray, RingConv2d, conv_paths
from pi_system.kernels.cores import using_threads

CARRIERS = [np.uint32, np.uint64]
Carrier = type[np.uint32] | type[np.uint64]

# (groups, in / groups, out / groups, kernel, stride, padding, image (N, H, W))
GEOMETRIES = [
    pytest.param(1, 3, 16, (3, 3), (1, 1), (1, 1), (1, 32, 32), id="stem"),
    pytest.param(1, 20, 40, (3, 3), (1, 1), (1, 1), (1, 16, 16), id="3x3"),
    pytest.param(1, 16, 32, (3, 3), (2, 2), (1, 1), (2, 9, 7), id="3x3 stride 2, odd"),
    pytest.param(1, 70, 33, (1, 1), (1, 1), (0, 0), (1, 4, 4), id="1x1"),
    pytest.param(1, 8, 24, (1, 1), (2, 2), (0, 0), (1, 8, 8), id="1x1 stride 2"),
    pytest.param(1, 5, 9, (5, 5), (1, 2), (2, 2), (1, 11, 8), id="5x5"),
    pytest.param(1, 3, 17, (7, 7), (2, 2), (3, 3), (1, 15, 15), id="7x7"),
    pytest.param(1, 2, 8, (1, 3), (1, 1), (0, 1), (3, 5, 4), id="1x3, batch over blocks"),
    pytest.param(12, 1, 1, (3, 3), (1, 1), (1, 1), (2, 8, 8), id="depthwise"),
    pytest.param(3, 4, 10, (3, 3), (1, 1), (1, 1), (1, 6, 6), id="groups"),
    pytest.param(1, 130, 50, (1, 1), (1, 1), (0, 0), (1, 1, 1), id="linear"),
    pytest.param(1, 130, 50, (1, 1), (1, 1), (0, 0), (19, 1, 1), id="linear batch"),
    pytest.param(1, 100, 80, (3, 3), (1, 1), (1, 1), (1, 8, 8), id="weights beyond one cache"),
]


def naive(x: RingArray, w: RingArray, stride: tuple[int, int], pad: tuple[int, int], groups: int) -> RingArray:
    """Sum of products that wrap in the carrier, straight from the definition."""
    n, c, h, width = x.shape
    out, per_group, kh, kw = w.shape
    padded = np.zeros((n, c, h + 2 * pad[0], width + 2 * pad[1]), x.dtype)
    padded[:, :, pad[0] : pad[0] + h, pad[1] : pad[1] + width] = x
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1]]
    oh, ow = windows.shape[2:4]
    grouped = windows.reshape(n, groups, per_group, oh, ow, kh * kw)
    weights = w.reshape(groups, out // groups, per_group, kh * kw)
    result: RingArray = np.einsum("ngcyxk,gock->ngoyx", grouped, weights).reshape(n, out, oh, ow)
    return result


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: Carrier, bits: int | None = None) -> RingArray:
    """Uniform ring elements, or signed integers of ``bits`` bits in two's complement."""
    if bits is None:
        return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    return rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape).astype(dtype)


def linear_weight(dtype: Carrier, outputs: int, inputs: int, value: int) -> RingArray:
    return np.full((outputs, inputs, 1, 1), np.int64(value)).astype(dtype)


@pytest.mark.parametrize("bits", [8, 16, None], ids=["int8", "int16", "full"])
@pytest.mark.parametrize("dtype", CARRIERS)
@pytest.mark.parametrize(("groups", "cin", "cout", "kernel", "stride", "pad", "image"), GEOMETRIES)
def test_every_path_equals_the_definition(
    groups: int,
    cin: int,
    cout: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int],
    image: tuple[int, int, int],
    dtype: Carrier,
    bits: int | None,
) -> None:
    rng = np.random.default_rng(1)
    w = draw(rng, (groups * cout, cin, *kernel), dtype, bits)
    x = draw(rng, (image[0], groups * cin, *image[1:]), dtype)
    expected = naive(x, w, stride, pad, groups)
    for path in [None, *conv_paths(dtype, small=bits is not None)]:
        conv = RingConv2d(w, stride=stride, padding=pad, groups=groups, path=path)
        np.testing.assert_array_equal(conv(x), expected, err_msg=str(path))
        with using_threads(2):
            np.testing.assert_array_equal(conv(x), expected, err_msg=f"{path}, two threads")


@pytest.mark.parametrize("value", [127, -128, 32767, -32768, -1, 32768, -32769])
@pytest.mark.parametrize("dtype", CARRIERS)
def test_extreme_weights_and_inputs(dtype: Carrier, value: int) -> None:
    w = linear_weight(dtype, 16, 512, value)
    x = np.full((1, 512, 1, 1), np.iinfo(dtype).max, dtype)  # -1 in the ring
    expected = np.full((1, 16, 1, 1), np.int64(-512 * value)).astype(dtype)
    for path in conv_paths(dtype, small=-32768 <= value <= 32767):
        np.testing.assert_array_equal(RingConv2d(w, path=path)(x), expected, err_msg=path)


@pytest.mark.parametrize("value", [-1, 0x7FFF, -0x8000, -0x7F7F7F7F00000001])
@pytest.mark.parametrize("dtype", CARRIERS)
def test_sums_longer_than_an_accumulator(dtype: Carrier, value: int) -> None:
    """33,000 rows of the largest byte products overflow 32 bits twice unless a path cuts the sum."""
    rows = 33_000
    word = value % (1 << (8 * np.dtype(dtype).itemsize))
    w = np.full((16, rows, 1, 1), word, dtype)
    w[1:] = np.iinfo(dtype).max
    x = np.full((1, rows, 1, 1), np.iinfo(dtype).max, dtype)
    expected = np.array([-word * rows, *[rows] * 15], object) % (1 << (8 * np.dtype(dtype).itemsize))
    conv = RingConv2d(w)
    for path in conv_paths(dtype, small=conv.small):
        got = RingConv2d(w, path=path)(x)
        assert got.ravel().tolist() == expected.tolist(), path


@pytest.mark.parametrize("dtype", CARRIERS)
def test_small_is_decided_by_signed_value(dtype: Carrier) -> None:
    assert RingConv2d(linear_weight(dtype, 8, 3, -32768)).small
    assert RingConv2d(linear_weight(dtype, 8, 3, 32767)).small
    assert not RingConv2d(linear_weight(dtype, 8, 3, 32768)).small
    assert not RingConv2d(linear_weight(dtype, 8, 3, -32769)).small


@pytest.mark.parametrize("dtype", CARRIERS)
def test_python_integers_agree(dtype: Carrier) -> None:
    rng = np.random.default_rng(2)
    x, w = draw(rng, (1, 2, 3, 3), dtype), draw(rng, (3, 2, 2, 2), dtype)
    got = RingConv2d(w)(x)
    for o in range(3):
        for y in range(2):
            for z in range(2):
                patch = x[0, :, y : y + 2, z : z + 2].ravel().tolist()
                total = sum(a * b for a, b in zip(patch, w[o].ravel().tolist(), strict=True))
                assert int(got[0, o, y, z]) == total % (1 << (8 * np.dtype(dtype).itemsize))


@pytest.mark.parametrize("bits", [12, None])
@pytest.mark.parametrize("dtype", CARRIERS)
def test_channel_ranges_of_a_prepared_input(dtype: Carrier, bits: int | None) -> None:
    rng = np.random.default_rng(3)
    w, x = draw(rng, (6 * 19, 4, 3, 3), dtype, bits), draw(rng, (2, 24, 5, 5), dtype)
    expected = naive(x, w, (1, 1), (1, 1), 6)
    for path in conv_paths(dtype, small=bits is not None):
        conv = RingConv2d(w, padding=(1, 1), groups=6, path=path)
        prepared = conv.prepare(x)
        for c0, c1 in [(0, 1), (5, 40), (16, 32), (18, 20), (113, 114), (0, 114), (7, 7)]:
            for threads in (1, 2):
                with using_threads(threads):
                    got = conv(prepared, channels=(c0, c1))
                np.testing.assert_array_equal(got, expected[:, c0:c1], err_msg=f"{path} {c0}:{c1} {threads}")


def test_inputs_and_weights_that_are_not_contiguous() -> None:
    rng = np.random.default_rng(5)
    w = draw(rng, (3, 3, 4, 16), np.uint64).transpose(3, 2, 0, 1)
    x = draw(rng, (1, 10, 10, 8), np.uint64)[:, ::2, ::2, ::2].transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(RingConv2d(w)(x), naive(x, w, (1, 1), (0, 0), 1))


def test_an_empty_batch_gives_an_empty_output() -> None:
    conv = RingConv2d(linear_weight(np.uint32, 8, 3, 1))
    assert conv(np.zeros((0, 3, 4, 5), np.uint32)).shape == (0, 8, 4, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": np.zeros((4, 2, 3, 3), np.int64)}, "expected uint32 or uint64, found int64"),
        ({"weight": np.zeros((4, 2, 3), np.uint32)}, r"expected \(out, .* found \(4, 2, 3\)"),
        ({"weight": np.zeros((4, 0, 1, 1), np.uint32)}, "all positive"),
        ({"groups": 3}, "divisor of 4 output channels, found 3"),
        ({"groups": 0}, "found 0"),
        ({"stride": (0, 1)}, r"stride >= 1 and padding >= 0, found \(0, 1\)"),
        ({"padding": (0, -1)}, r"found \(1, 1\) and \(0, -1\)"),
        ({"path": "abacus"}, "abacus"),
        ({"path": "ifma"}, "ifma"),
    ],
)
def test_bad_constructions(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RingConv2d(**({"weight": np.zeros((4, 2, 3, 3), np.uint32)} | arguments))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("x", "arguments", "message"),
    [
        (np.zeros((1, 2, 4, 4), np.uint64), {}, "expected uint32, found uint64"),
        (np.zeros((1, 3, 4, 4), np.uint32), {}, r"expected \(N, 2, H, W\), found \(1, 3, 4, 4\)"),
        (np.zeros((2, 4, 4), np.uint32), {}, r"found \(2, 4, 4\)"),
        (np.zeros((1, 2, 2, 4), np.uint32), {}, r"at least kernel \(3, 3\)"),
        (np.zeros((1, 2, 4, 4), np.uint32), {"channels": (0, 5)}, "within 0..4"),
        (np.zeros((1, 2, 4, 4), np.uint32), {"channels": (3, 2)}, "within 0..4"),
    ],
)
def test_bad_calls(x: npt.NDArray[np.uint32], arguments: dict[str, object], message: str) -> None:
    conv = RingConv2d(np.zeros((4, 2, 3, 3), np.uint32))
    with pytest.raises(ValueError, match=message):
        conv(x, **arguments)  # type: ignore[arg-type]


def test_a_prepared_input_of_another_convolution_is_refused() -> None:
    w, x = np.zeros((4, 2, 3, 3), np.uint32), np.zeros((1, 2, 4, 4), np.uint32)
    with pytest.raises(ValueError, match="found another's"):
        RingConv2d(w)(RingConv2d(w).prepare(x))


def test_portable_is_always_there_and_last() -> None:
    for dtype in CARRIERS:
        for small in (True, False):
            assert conv_paths(dtype, small=small)[-1] == "portable"
    with pytest.raises(ValueError, match="found float32"):
        conv_paths(np.float32, small=True)
