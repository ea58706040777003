"""A smooth function of one value as straight pieces, which are a sum of ReLUs, with the error they make.

f(x) is near offset + slope x + sum_i weight_i relu(x - knot_i). Knots stand where the square root of |f''| has equal
integrals between them, which is where pieces of one error end; values there are fitted by Lawson's reweighted least
squares, which tends to the smallest largest error. Where f becomes a straight line (as GELU, sigmoid or softplus do)
the pieces become that line, so the error holds beyond the range that was asked for, too.

Source: equal integrals: de Boor, A Practical Guide to Splines, chapter XII; Lawson, Contributions to the Theory of
Linear Least Maximum Approximations, 1961.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import ConfigError

__all__ = ["Asked", "Pieces", "Span", "straight_pieces"]

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
Span = tuple[float, float]
"""Smallest and largest value that a function was asked for."""

_FAR: Final = 1e3
"""Where a function that becomes a line is one."""
_WIDE: Final = 64.0
"""Where lines are looked for; beyond it the calibrated range has the word."""
_POINTS: Final = 1024
_ROUNDS: Final = 24
_MOST: Final = 64
"""Pieces of one function. Each is a comparison of every element."""


class Asked(NamedTuple):
    """A call of a smooth function.

    Attributes:
        span: of its argument on the calibration pictures.
        call: its number, of such calls in a forward pass.
        op: its operation.
    """

    span: Span
    call: int
    op: str


@dataclass(frozen=True, slots=True)
class Pieces:
    """offset + slope * x + sum of weights * relu(x - knots).

    Attributes:
        slope: left of all knots.
        offset: likewise.
        knots: rising.
        weights: how much the slope changes at each.
        error: largest distance from the function in the range, with its margin.
    """

    slope: float
    offset: float
    knots: Array
    weights: Array
    error: float

    def __call__(self, x: Array) -> Array:
        """The values."""
        return np.asarray(self.offset + self.slope * x + np.maximum(x[:, None] - self.knots, 0) @ self.weights)


@dataclass(frozen=True, slots=True)
class _End:
    """Where a range ends, and the line (slope, offset) that goes on from there; None: the last piece does."""

    place: float
    line: tuple[float, float] | None


def straight_pieces(function: Function, span: Span, allowed: float, kinks: tuple[float, ...] = ()) -> Pieces:
    """The fewest pieces that differ from ``function`` by at most ``allowed`` on ``span`` and a quarter of it beyond.

    Args:
        function: of an array, elementwise.
        span: of calibrated arguments.
        allowed: error.
        kinks: where the slope jumps.

    Raises:
        ConfigError: more than 64 pieces are needed.
    """
    margin = (span[1] - span[0]) / 4 or 1.0
    low, high = span[0] - margin, span[1] + margin
    left = _end(function, low, -1.0, allowed)
    right = _end(function, high, 1.0, allowed)
    lines = _lines(left, right, low, high)
    if lines is not None:
        return _checked(function, (low, high), lines)
    inside = [kink for kink in kinks if left.place < kink < right.place]
    for count in range(1, _MOST):
        knots = _knots(function, left.place, right.place, count, inside)
        found = _checked(function, (low, high), _fitted(function, knots, left, right))
        if found.error <= allowed:
            return found
    raise ConfigError(f"approximate: expected an error that {_MOST} straight pieces reach, found {allowed:g}")


def _end(function: Function, place: float, sign: float, allowed: float) -> _End:
    """The end at ``place``, or where ``function`` is near the line it becomes, if that is nearer to zero."""
    near, middle, far = function(sign * _FAR * np.array([1.0, 2.0, 4.0]))
    slope = float(middle - near) * sign / _FAR
    offset = float(near) - slope * sign * _FAR
    if not abs(float(far) - (slope * sign * 4 * _FAR + offset)) < 1e-6:
        return _End(place, None)
    grid = np.linspace(_WIDE, -_WIDE, 8 * _POINTS + 1) * sign
    apart = np.flatnonzero(~(np.abs(function(grid) - (slope * grid + offset)) <= allowed / 2))
    if len(apart) and apart[0] == 0:
        return _End(place, None)
    reached = float(grid[apart[0] - 1] if len(apart) else grid[-1])
    return _End(reached, (slope, offset)) if reached * sign < place * sign else _End(place, None)


def _lines(left: _End, right: _End, low: float, high: float) -> Pieces | None:
    """The pieces, if the lines that the function becomes are all of it; else None."""
    for end, outside in ((left, left.place >= high), (right, right.place <= low)):
        if outside and end.line is not None:
            return Pieces(*end.line, np.zeros(0), np.zeros(0), 0.0)
    if left.line is None or right.line is None or left.place < right.place:
        return None
    change = right.line[0] - left.line[0]
    if change == 0:
        return Pieces(*left.line, np.zeros(0), np.zeros(0), 0.0)
    return Pieces(*left.line, np.array([(left.line[1] - right.line[1]) / change]), np.array([change]), 0.0)


def _knots(function: Function, low: float, high: float, count: int, kinks: list[float]) -> Array:
    """Ends of ``count`` pieces, and the kinks."""
    grid = np.linspace(low, high, _POINTS + 1)
    step = grid[1] - grid[0]
    bent = np.sqrt(np.abs(np.diff(function(grid), 2))) / step
    total = np.concatenate([[0.0], np.cumsum(bent + 1e-9 + 1e-3 * bent.mean())])
    quantiles = np.linspace(0.0, total[-1], count + 1)
    knots = np.interp(quantiles, total, np.linspace(low, high, len(total)))
    apart = [one for one in knots[1:-1] if all(abs(one - kink) > (high - low) / (8 * count) for kink in kinks)]
    return np.sort(np.array([low, *apart, *kinks, high]))


def _fitted(function: Function, knots: Array, left: _End, right: _End) -> Pieces:
    """Pieces between knots whose values are fitted; lines beyond the ends keep the values there."""
    grid = np.linspace(knots[0], knots[-1], _POINTS)
    hats = np.stack([np.interp(grid, knots, one) for one in np.eye(len(knots))], axis=1)
    wanted = function(grid)
    values = function(knots)
    fixed = np.zeros(len(knots), bool)
    for end, index in ((left, 0), (right, -1)):
        if end.line is not None:
            fixed[index], values[index] = True, end.line[0] * knots[index] + end.line[1]
    if not fixed.all():
        values = _minimax(hats, wanted, values, ~fixed)
    slopes = np.diff(values) / np.diff(knots)
    first = slopes[0] if left.line is None else left.line[0]
    last = slopes[-1] if right.line is None else right.line[0]
    changes = np.diff(np.concatenate([[first], slopes, [last]]))
    kept = np.abs(changes) > 1e-12
    return Pieces(float(first), float(values[0] - first * knots[0]), knots[kept], changes[kept], 0.0)


def _minimax(hats: Array, wanted: Array, values: Array, free: NDArray[np.bool_]) -> Array:
    """Values at the knots, those that are ``free`` chosen for the smallest largest error found."""
    rest = wanted - hats[:, ~free] @ values[~free]
    weights, best, least = np.ones(len(wanted)), values, np.inf
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)[:, None]
        found = np.linalg.lstsq(hats[:, free] * root, rest * root[:, 0], rcond=None)[0]
        apart = np.abs(hats[:, free] @ found - rest)
        if apart.max() < least:
            least, best = float(apart.max()), values.copy()
            best[free] = found
        weights = weights * apart
        if not weights.sum() > 0:
            break
        weights /= weights.mean()
    return best


def _checked(function: Function, span: Span, pieces: Pieces) -> Pieces:
    """With the error on a fine grid of the range."""
    places = pieces.knots[(pieces.knots > span[0]) & (pieces.knots < span[1])]  # where it is often largest
    grid = np.concatenate([np.linspace(*span, 4 * _POINTS + 1), places])
    error = float(np.abs(function(grid) - pieces(grid)).max())
    return Pieces(pieces.slope, pieces.offset, pieces.knots, pieces.weights, error)
