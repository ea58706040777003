"""Exact convolution in Z_{2^32} and Z_{2^64}: the linear layers of the secure runtime.

torch convolves integers on one scalar code path. Here the products are cut into what the CPU multiplies fastest and
the carrier wraps as the ring does; a smaller ring is had by masking the result. Which instructions are used is decided
at run time, from the CPU, the carrier and the size of the weights; all paths give the same words
(docs/explanation/decisions.md has the measurements). No randomness, no input or output; the interpreter lock is
released while it computes.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import pi_system.kernels._native as _native

RingArray: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]

_Plan: TypeAlias = type[_native.ConvPlan32] | type[_native.ConvPlan64]
_PLANS: dict[np.dtype[Any], _Plan] = {
    np.dtype(np.uint32): _native.ConvPlan32,
    np.dtype(np.uint64): _native.ConvPlan64,
}


def conv_paths(dtype: npt.DTypeLike, *, small: bool) -> list[str]:
    """Name the instruction paths of this machine, fastest first.

    Args:
        dtype: carrier, uint32 or uint64.
        small: whether all weights, read as signed integers, fit 16 bits.

    Returns:
        Some of ``amx``, ``vnni``, ``ifma``, ``avx512``, ``avx2``, and always ``portable``.

    Raises:
        ValueError: another carrier.
    """
    return _plan_class(np.dtype(dtype)).paths(small)


def _plan_class(dtype: np.dtype[Any]) -> _Plan:
    if dtype not in _PLANS:
        raise ValueError(f"carrier: expected uint32 or uint64, found {dtype}")
    return _PLANS[dtype]


@dataclass(frozen=True, slots=True)
class PreparedInput:
    """An input split and padded once, for several calls of the RingConv2d that made it.

    Attributes:
        owner: the convolution that made it.
        planes: its words, held by the kernel (about the size of the input).
        shape: (N, C, H, W) of the input.
    """

    owner: "RingConv2d"
    planes: _native.ConvPlanes
    shape: tuple[int, int, int, int]


class RingConv2d:
    """A convolution with fixed weights over Z_{2^32} (uint32) or Z_{2^64} (uint64), without bias.

    A linear layer is the case of 1x1 images and a 1x1 kernel. Weights are packed at construction.

    Attributes:
        path: the instruction path in use.
        small: whether all weights fit 16 bits as signed integers.
        dtype: the carrier.
        in_channels: channels of an input.
        out_channels: channels of a full output.
    """

    def __init__(
        self,
        weight: RingArray,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        groups: int = 1,
        path: str | None = None,
    ) -> None:
        """Pack the weights.

        Args:
            weight: (out, in / groups, kh, kw); signed weights in two's complement.
            stride: rows, columns; at least 1.
            padding: zero rows and columns on each side.
            groups: a divisor of ``out``.
            path: force one of `conv_paths` instead of the fastest.

        Raises:
            ValueError: a bad carrier, shape or geometry, or a path that cannot be used here.
        """
        plan_class = _plan_class(weight.dtype)
        if weight.ndim != 4 or min(weight.shape) < 1:
            raise ValueError(f"weight: expected (out, in / groups, kh, kw), all positive, found {weight.shape}")
        if groups < 1 or weight.shape[0] % groups:
            raise ValueError(f"groups: expected a divisor of {weight.shape[0]} output channels, found {groups}")
        if min(stride) < 1 or min(padding) < 0:
            raise ValueError(f"expected stride >= 1 and padding >= 0, found {stride} and {padding}")
        self._plan = plan_class(np.ascontiguousarray(weight), *stride, *padding, groups, path or "")
        self._kernel = weight.shape[2:]
        self._stride, self._padding = stride, padding
        self.dtype = weight.dtype
        self.in_channels = weight.shape[1] * groups
        self.out_channels = weight.shape[0]
        self.path = self._plan.path
        self.small = self._plan.small

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the output for an input of ``height`` x ``width``.

        Raises:
            ValueError: the kernel is larger than the padded input.
        """
        sizes = zip((height, width), self._kernel, self._stride, self._padding, strict=True)
        rows, columns = ((size + 2 * pad - kernel) // stride + 1 for size, kernel, stride, pad in sizes)
        if rows < 1 or columns < 1:
            raise ValueError(f"input: expected at least kernel {self._kernel} with padding, found {(height, width)}")
        return rows, columns

    def prepare(self, x: RingArray) -> PreparedInput:
        """Split and pad an input once, to be used by calls for several ranges of output channels.

        Args:
            x: (N, in_channels, H, W) of the carrier; copied if it is not C-contiguous.

        Raises:
            ValueError: another carrier or shape.
        """
        if x.dtype != self.dtype:
            raise ValueError(f"input carrier: expected {self.dtype}, found {x.dtype}")
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"input: expected (N, {self.in_channels}, H, W), found {x.shape}")
        self.output_size(x.shape[2], x.shape[3])
        return PreparedInput(self, self._plan.prepare(np.ascontiguousarray(x)), x.shape)

    def __call__(
        self,
        x: RingArray | PreparedInput,
        *,
        channels: tuple[int, int] | None = None,
    ) -> RingArray:
        """Convolve.

        Args:
            x: (N, in_channels, H, W), or what `prepare` made of it.
            channels: output channels [c0, c1) to compute; a multiple of 16 wastes nothing. All if omitted.

        Returns:
            (N, c1 - c0, OH, OW) of the carrier, every word modulo 2^32 or 2^64.

        Raises:
            ValueError: an input or channel range that does not fit.
        """
        prepared = x if isinstance(x, PreparedInput) else self.prepare(x)
        if prepared.owner is not self:
            raise ValueError("prepared input: expected one made by this convolution, found another's")
        c0, c1 = channels or (0, self.out_channels)
        if not 0 <= c0 <= c1 <= self.out_channels:
            raise ValueError(f"channels: expected a range within 0..{self.out_channels}, found {channels}")
        shape = (prepared.shape[0], c1 - c0, *self.output_size(*prepared.shape[2:]))
        out: RingArray = np.empty(shape, self.dtype)
        self._plan.run(prepared.planes, out, c0, c1)
        return out
