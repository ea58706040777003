"""The step that scores are rounded to: well above the fixed-point noise, and as fine as that allows.

Rule: the smallest power of two that is at least ``NOISE_STEPS`` times the largest difference between a fixed-point and
a float logit on the calibration pictures, with the coins of signs where few bits are compared. How many labels of these
pictures stay is said at export.
"""

from math import ceil, log2
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.model import Artifact
from pi_system.artifact.ring_config import RingConfig
from pi_system.program.counts import mac_count
from pi_system.program.encoding import encode_input, logits_to_float, quantise_weights
from pi_system.program.fixed_point import FixedInterpreter
from pi_system.program.float_point import float_logits
from pi_system.ring.prg import Prg

NOISE_STEPS: Final = 4
"""More: fewer logits lie so near to where rounding turns that noise moves their score; fewer: closer scores."""
_PICTURES: Final = (4, 256)
"""At least and at most, that coins are drawn for."""
_MACS: Final = 1e10
"""Multiply-accumulates of that, a few seconds of a core."""


def choose_score_step(ring: RingConfig, output: str, max_error: float) -> int:
    """Base-2 logarithm of the step; at least one bit of a logit of node ``output`` is dropped, and two are left."""
    finest = 1 - ring.frac_bits[output]
    wanted = ceil(log2(NOISE_STEPS * max_error)) if max_error > 0 else finest
    return min(max(wanted, finest), max(1, ring.logit_bits - 2) - ring.frac_bits[output])


def step_of_coins(artifact: Artifact, pictures: NDArray[np.float32]) -> int:
    """Base-2 logarithm of the step, the artifact's or a larger one for signs near zero that are coins.

    Their error is the largest on some of the ``pictures`` (N, C, H, W), preprocessed; the same calls, the same step.
    """
    graph, ring = artifact.public.graph, artifact.public.ring
    count = min(max(int(_MACS / max(1, mac_count(graph))), _PICTURES[0]), _PICTURES[1], len(pictures))
    chosen = pictures[np.linspace(0, len(pictures) - 1, count).astype(int)]
    weights = quantise_weights(graph, ring, artifact.weights)
    interpreter = FixedInterpreter(ring, artifact.masks, weights, coins=Prg(bytes(16)))
    drawn = logits_to_float(interpreter.run(graph, encode_input(chosen, graph, ring)), graph, ring)
    error = float(np.abs(drawn - float_logits(artifact, chosen)).max())
    return max(ring.score_step(graph.output), choose_score_step(ring, graph.output, error))


def labels_kept(logits: NDArray[np.floating], step_log2: int) -> float:
    """Share of the rows of logits (N, classes) whose label their scores still give, ties won by the lowest index."""
    scores = np.floor(np.asarray(logits, np.float64) * 2.0**-step_log2 + 0.5)
    return float((scores.argmax(axis=1) == logits.argmax(axis=1)).mean())
