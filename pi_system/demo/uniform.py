"""Whether bytes look uniform: Pearson's chi-square test over the 256 values."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

VALUES: Final = 256
LEAST_P: Final = 1e-6
"""Below it bytes are called not uniform. Larger: uniform ones are, too, now and then. Smaller: few bytes tell less."""


@dataclass(frozen=True, slots=True)
class Uniformity:
    """Outcome of a test.

    Attributes:
        counts: of every value, 256.
        statistic: chi-square, with 255 degrees of freedom.
        p: chance that uniform bytes deviate as much or more.
    """

    counts: tuple[int, ...]
    statistic: float
    p: float

    @property
    def uniform(self) -> bool:
        """Nothing speaks against it."""
        return self.p >= LEAST_P


def judge(data: NDArray[np.uint8]) -> Uniformity:
    """The test on ``data``, at least 5 bytes a value."""
    counts = np.bincount(data.reshape(-1), minlength=VALUES)
    expected = data.size / VALUES
    statistic = float(((counts - expected) ** 2).sum() / expected)
    return Uniformity(tuple(counts.tolist()), statistic, exceeds(statistic, VALUES - 1))


def exceeds(statistic: float, freedom: int) -> float:
    """Chance that chi-square of an odd number of degrees of freedom is at least ``statistic``.

    The sum of Abramowitz and Stegun, 26.4.4, its terms by their logarithms.
    """
    half = statistic / 2
    if half <= 0:
        return 1.0
    terms = ((i - 0.5) * math.log(half) - half - math.lgamma(i + 0.5) for i in range(1, (freedom - 1) // 2 + 1))
    return min(1.0, math.erfc(math.sqrt(half)) + math.fsum(map(math.exp, terms)))


def low_bytes(elements: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """The whole bytes of ring elements of ``bits`` bits, (n, bits // 8): a carrier's topmost may hold fewer bits."""
    carrier = np.ascontiguousarray(elements).astype(elements.dtype.newbyteorder("<")).reshape(-1, 1)
    return carrier.view(np.uint8)[:, : bits // 8]
