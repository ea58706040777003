"""Properties of RingConv2d over drawn geometries: paths agree, and convolution is linear in the ring."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_system.kernels.conv import RingArray, RingConv2d, conv_paths


@st.composite
def _cases(draw: st.DrawFn) -> tuple[RingArray, RingArray, dict[str, object]]:
    dtype: np.dtype[Any] = np.dtype(draw(st.sampled_from(["uint32", "uint64"])))
    kernel = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    groups = draw(st.integers(1, 4))
    cin, cout = draw(st.integers(1, 18)), draw(st.integers(1, 20))
    image = tuple(max(1, k - 2 * p) + draw(st.integers(0, 9)) for k, p in zip(kernel, padding, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bits = draw(st.sampled_from([8, 12, 16, 64]))
    w = rng.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1, (groups * cout, cin, *kernel), endpoint=True)
    x = rng.integers(0, np.iinfo(dtype).max, (draw(st.integers(1, 3)), groups * cin, *image), dtype, endpoint=True)
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    return x, w.astype(dtype), {"stride": stride, "padding": padding, "groups": groups}


def _offsets(x: RingArray, w: RingArray, stride: tuple[int, int], padding: tuple[int, int], groups: int) -> RingArray:
    """Convolve one kernel position after the other."""
    kh, kw = w.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    oh = (padded.shape[2] - kh) // stride[0] + 1
    ow = (padded.shape[3] - kw) // stride[1] + 1
    weights = w.reshape(groups, -1, *w.shape[1:])
    total = np.zeros((x.shape[0], groups, weights.shape[1], oh, ow), x.dtype)
    for a in range(kh):
        for b in range(kw):
            part = padded[:, :, a : a + oh * stride[0] : stride[0], b : b + ow * stride[1] : stride[1]]
            part = part[:, :, :oh, :ow].reshape(x.shape[0], groups, -1, oh, ow)
            total += np.einsum("ngcyx,goc->ngoyx", part, weights[..., a, b])
    return total.reshape(x.shape[0], -1, oh, ow)


@settings(max_examples=120)
@given(_cases())
def test_all_paths_equal_the_sum_over_kernel_positions(case: tuple[RingArray, RingArray, dict[str, object]]) -> None:
    x, w, geometry = case
    expected = _offsets(x, w, **geometry)  # type: ignore[arg-type]
    for path in conv_paths(w.dtype, small=RingConv2d(w, **geometry).small):  # type: ignore[arg-type]
        conv = RingConv2d(w, **geometry, path=path)  # type: ignore[arg-type]
        np.testing.assert_array_equal(conv(x), expected, err_msg=path)


@settings(max_examples=60)
@given(_cases(), st.integers(0, 2**32 - 1))
def test_shares_add_up(case: tuple[RingArray, RingArray, dict[str, object]], seed: int) -> None:
    """What the online and offline phases rest on: W x = W (x - r) + E r + B r with E = W - B."""
    x, w, geometry = case
    rng = np.random.default_rng(seed)
    r = rng.integers(0, np.iinfo(x.dtype).max, x.shape, x.dtype, endpoint=True)
    b = rng.integers(0, np.iinfo(x.dtype).max, w.shape, w.dtype, endpoint=True)
    whole, masks, rest = (RingConv2d(weight, **geometry) for weight in (w, b, w - b))  # type: ignore[arg-type]
    np.testing.assert_array_equal(whole(x - r) + rest(r) + masks(r), whole(x))
