"""Windows of pools along one axis, of any size and place."""

from math import lcm

import torch
from torch import Tensor

__all__ = ["Windows", "adaptive", "evenly", "inside", "largest", "means", "regular", "windows"]

Windows = list[tuple[list[int], int]]
"""For each output: the positions of its window, and how many it counts with its padding."""


def windows(size: int, kernel: int, stride: int, padding: int, ceil: bool, dilation: int = 1) -> Windows:
    """Of a pool with stride and padding; ``ceil``: a last window that begins inside counts, too."""
    span = dilation * (kernel - 1) + 1
    count = -(-(size + 2 * padding - span) // stride) + 1 if ceil else (size + 2 * padding - span) // stride + 1
    if ceil and (count - 1) * stride >= size + padding:
        count -= 1
    found = []
    for out in range(count):
        taps = range(out * stride - padding, out * stride - padding + span, dilation)
        counted = [tap for tap in taps if tap < size + padding]
        found.append(([tap for tap in counted if 0 <= tap < size], len(counted)))
    return found


def adaptive(size: int, out: int) -> Windows:
    """Of an adaptive pool to ``out`` elements."""
    found = [list(range(i * size // out, -(-(i + 1) * size // out))) for i in range(out)]
    return [(window, len(window)) for window in found]


def largest(given: Windows) -> list[list[int]]:
    """Positions of all windows in lists of one length: some are there twice."""
    most = max(len(window) for window, _ in given)
    return [window + window[-1:] * (most - len(window)) for window, _ in given]


def evenly(given: Windows) -> list[list[int]]:
    """Positions of all windows in lists of one length, all of a window equally often; -1 is a zero."""
    length = lcm(*(count for _, count in given))
    laid = []
    for window, count in given:
        zeros = [-1] * (count - len(window))
        laid.append([tap for tap in window + zeros for _ in range(length // count)])
    return laid


def means(given: Windows, size: int) -> Tensor:
    """The matrix (outputs, size) of the means."""
    matrix = torch.zeros(len(given), size, dtype=torch.float64)
    for row, (window, count) in zip(matrix, given, strict=True):
        row[window] = 1 / count
    return matrix


def regular(size: int, kernel: int, stride: int, padding: int, given: Windows) -> bool:
    """Whether these are the windows of a plain pool with even padding."""
    plain_count = (size + 2 * padding - kernel) // stride + 1
    return len(given) == plain_count and all(count == kernel for _, count in given) and 2 * padding <= kernel


def inside(given: Windows, before: int, size: int) -> Windows:
    """Windows of a value that has ``before`` lines more before its own ``size``, without these and those behind."""
    return [([tap - before for tap in taps if 0 <= tap - before < size], count) for taps, count in given]
