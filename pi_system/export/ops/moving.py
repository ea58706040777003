"""Whatever moves elements, repeats them or leaves them out: the operation is run on the places."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from pi_system.export.lazy import Lazy, Refused
from pi_system.export.ops.rule import Rule, Tracing

__all__ = ["KEEP_FINAL", "RULES"]

_MOVES: Final = (
    "view _unsafe_view reshape _reshape_alias permute transpose t squeeze unsqueeze expand slice select split "
    "split_with_sizes unbind flip roll index_select index repeat reflection_pad1d reflection_pad2d replication_pad1d "
    "replication_pad2d pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle upsample_nearest1d "
    "upsample_nearest2d _upsample_nearest_exact1d _upsample_nearest_exact2d clone alias detach unfold "
    "diagonal lift_fresh narrow chunk unsafe_split unsafe_split_with_sizes unsafe_chunk gather take rot90 tile "
    "repeat_interleave expand_as view_as contiguous swapaxes movedim"
).split()
_FILLS: Final = ["im2col", "tril", "triu"]
"""These put zeros, too."""
_AS_RESHAPE: Final = dict.fromkeys(["view", "_unsafe_view", "_reshape_alias"], "reshape")
"""Places do not lie in memory as the tensor does."""


def _moved(name: str) -> Rule:
    def rule(tracer: Tracing, node: str, x: Lazy, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(x, Lazy) or any(isinstance(a, Lazy) for a in (*args, *kwargs.values())):
            raise Refused(f"{name}: expected positions that do not depend on the picture")
        op = getattr(torch.ops.aten, _AS_RESHAPE.get(name, name))
        first = op(x.index, *args, **kwargs)
        if isinstance(first, Tensor):
            return _kept(x, x.moved(lambda part: op(part, *args, **kwargs)))
        return [_kept(x, x.moved(lambda part, i=i: op(part, *args, **kwargs)[i])) for i in range(len(first))]

    return rule


def _kept(x: Lazy, moved: Lazy) -> Lazy:
    if x.final in ("softmax", "log_softmax") and moved.index.numel() != x.index.numel():
        raise Refused(f"{x.final}: expected all that it gives as the output; leave it out and apply it to the result")
    return replace(moved, final=x.final, asked=x.asked)


def _pad(tracer: Tracing, node: str, x: Lazy, pad: Sequence[int], value: float = 0.0) -> Lazy:
    return x.moved(lambda part: torch.constant_pad_nd(part, pad, 0), float(value or 0.0))


def _same(tracer: Tracing, node: str, x: Lazy, *args: Any, **kwargs: Any) -> Lazy:
    return x


def _cast(tracer: Tracing, node: str, x: Lazy, *, dtype: torch.dtype | None = None, **kwargs: Any) -> Lazy:
    if dtype is not None and not dtype.is_floating_point:
        raise Refused(f"expected real numbers, found a conversion to {dtype}; leave it out")
    return x


_SAME: Final = ["dropout", "native_dropout", "feature_dropout", "alpha_dropout"]
RULES: Final[dict[str, Rule]] = {
    **{name: _moved(name) for name in (*_MOVES, *_FILLS)},
    "constant_pad_nd": _pad,
    **dict.fromkeys(_SAME, _same),
    "_to_copy": _cast,
}
KEEP_FINAL: Final = frozenset((*_MOVES, *_SAME, "_to_copy"))
"""A function that ends the network may stand before these: they give every element as it is."""
