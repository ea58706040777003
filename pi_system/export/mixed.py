"""A layer of mixed kinds as nodes of the graph: ReLU and square with masks, affine maps around them.

A polynomial a x^2 + b x + c is sign(a) (s x + t)^2 + u, with s^2 = |a|, t = b sign(a) / 2s and u = c - b^2 / 4a. So a
channel of one kind costs its square, an affine map before it, which folds into the layer in front where that has no
other reader, and the square's own bias; a sign behind it only where a < 0. b x + c, and zero, are the map before alone.

Where a channel has several kinds besides ReLU and identity, its polynomial is a second branch: both branches are zero
where the other has its positions, and are added.
"""

import numpy as np
from numpy.typing import NDArray

from pi_system.export.draft import Array, Draft
from pi_system.train.mixed import Kind, MixedActivation

Mask = NDArray[np.bool_]


def lower_mixed(draft: Draft, name: str, layer: MixedActivation, x: str) -> str:
    """Add ``layer`` on the value ``x``; the name of its result."""
    kinds = layer.kinds.numpy()
    coefficients = layer.coefficients.detach().double().numpy()
    polynomial = (kinds == Kind.QUADRATIC) | (kinds == Kind.LINEAR)
    relu, zero = kinds == Kind.RELU, kinds == Kind.ZERO
    squared = (kinds == Kind.QUADRATIC) & (coefficients[:, 0] != 0)[:, None, None]
    if _whole_channels(polynomial & ~squared) and _whole_channels(squared) and _whole_channels(zero):
        before, bias, after = _maps(coefficients, _channels(squared), _channels(polynomial), _channels(zero))
        out = _affine(draft, f"{name}.before", x, *before)
        out = draft.relu(name, out, relu)
        out = draft.square(f"{name}.square", out, mask=squared, bias=bias)
        return _affine(draft, f"{name}.after", out, after)
    branches = []
    rest = ~polynomial & ~zero
    if rest.any():
        branches.append(draft.select(f"{name}.select", draft.relu(name, x, relu), rest))
    for part, label in ((squared, "square"), (polynomial & ~squared, "linear")):
        if part.any():
            branches.append(_branch(draft, f"{name}.{label}", x, coefficients, part, label == "square"))
    out = branches[0]
    for index, branch in enumerate(branches[1:]):
        out = draft.add(f"{name}.sum{index}", out, branch)
    return out


def _branch(draft: Draft, name: str, x: str, coefficients: Array, part: Mask, square: bool) -> str:
    """The polynomials at the positions of ``part``, zero elsewhere."""
    channels = _channels(part)
    before, bias, after = _maps(coefficients, channels & square, channels, np.zeros_like(channels))
    out = _affine(draft, f"{name}.before", x, *before)
    out = draft.square(name, out, mask=part, bias=bias) if square else out
    return draft.select(f"{name}.select", _affine(draft, f"{name}.after", out, after), part)


def _maps(coefficients: Array, squared: Mask, polynomial: Mask, zero: Mask) -> tuple[tuple[Array, Array], Array, Array]:
    """(scale, shift) before the square, its bias, the sign behind it, by channel (C,).

    Args:
        coefficients: (C, 3).
        squared: channels with a square.
        polynomial: these, and those with b x + c alone.
        zero: channels that are zero.
    """
    a, b, c = coefficients.T
    positive, half = np.where(squared, np.abs(a), 1.0), b / 2
    sign = np.where(squared & (a < 0), -1.0, 1.0)
    root, linear = np.sqrt(positive), polynomial & ~squared
    scale = np.where(linear, b, root) * ~zero
    shift = np.where(squared, sign * half / root, np.where(linear, c, 0.0))
    bias = np.where(squared, sign * c - half * half / positive, 0.0)
    return (scale, shift), bias, sign


def _channels(mask: Mask) -> Mask:
    """Channels (C,) that hold a kind somewhere."""
    return np.asarray(mask.any((1, 2)), dtype=np.bool_)


def _whole_channels(mask: Mask) -> bool:
    """Whether no channel holds the kind in a part of its positions only."""
    return bool((mask.all((1, 2)) | ~mask.any((1, 2))).all())


def _affine(draft: Draft, name: str, x: str, scale: Array, shift: Array | None = None) -> str:
    shift = np.zeros_like(scale) if shift is None else shift
    return x if (scale == 1).all() and not shift.any() else draft.affine(name, x, scale, shift)
