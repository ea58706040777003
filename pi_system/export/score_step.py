"""The step that scores are rounded to: well above the fixed-point noise, and as fine as that allows.

Rule: the smallest power of two that is at least ``NOISE_STEPS`` times the largest difference between a fixed-point and
a float logit on the calibration pictures. How many labels of these pictures stay is said at export.
"""

from math import ceil, log2
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.ring_config import RingConfig

NOISE_STEPS: Final = 4
"""More: fewer logits lie so near to where rounding turns that noise moves their score; fewer: closer scores."""


def choose_score_step(ring: RingConfig, output: str, max_error: float) -> int:
    """Base-2 logarithm of the step; at least one bit of a logit of node ``output`` is dropped, and two are left."""
    finest = 1 - ring.frac_bits[output]
    wanted = ceil(log2(NOISE_STEPS * max_error)) if max_error > 0 else finest
    return min(max(wanted, finest), max(1, ring.logit_bits - 2) - ring.frac_bits[output])


def labels_kept(logits: NDArray[np.floating], step_log2: int) -> float:
    """Share of the rows of logits (N, classes) whose label their scores still give, ties won by the lowest index."""
    scores = np.floor(np.asarray(logits, np.float64) * 2.0**-step_log2 + 0.5)
    return float((scores.argmax(axis=1) == logits.argmax(axis=1)).mean())
