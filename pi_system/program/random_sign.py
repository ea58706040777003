"""What comparisons of few bits do to plaintext values: signs that are random near zero, and max-pool's tournament."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import PoolNode
from pi_system.ring.prg import Prg

_T = TypeVar("_T", np.int64, np.float32)


def kept(x: NDArray[np.int64], width_bits: int, coins: Prg) -> NDArray[np.bool_]:
    """[x >= 0] by a comparison that does not see the low ``width_bits``: random where |x| < 2^(width_bits - 1)."""
    seen: NDArray[np.bool_] = x + coins.ring(x.shape, width_bits).astype(np.int64) >= 1 << (width_bits - 1)
    return seen


def kept_real(x: NDArray[np.float32], width: float, coins: Prg) -> NDArray[np.bool_]:
    """The same of real numbers: 1 with probability 1/2 + x / width where |x| < width / 2."""
    uniform = (coins.ring(x.shape, 32).astype(np.float64) + 0.5) * 2.0**-32
    seen: NDArray[np.bool_] = x + (uniform - 0.5) * width >= 0
    return seen


def windows(x: NDArray[Any], node: PoolNode, fill: float) -> NDArray[Any]:
    """The pooling windows of ``x`` (N, C, H, W) as (N, C, H', W', kh, kw); padding holds ``fill``."""
    (ph, pw), (sh, sw) = node.padding, node.stride
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(padded, node.kernel, axis=(2, 3))[:, :, ::sh, ::sw]


def tournament(views: NDArray[_T], kept_of: Callable[[NDArray[_T]], NDArray[np.bool_]]) -> NDArray[_T]:
    """The winner of each window (..., kh, kw), in the order of secure/walk.py, by signs of differences."""
    x = views.reshape(*views.shape[:-2], -1)
    while x.shape[-1] > 1:
        pairs = x.shape[-1] // 2 * 2
        a, b = x[..., 0:pairs:2], x[..., 1:pairs:2]
        x = np.concatenate([np.where(kept_of(a - b), a, b), x[..., pairs:]], axis=-1)
    winner: NDArray[_T] = x[..., 0]
    return winner
