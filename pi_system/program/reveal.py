"""What a client may learn of a prediction, and what that is in integers: the plaintext rule of every policy.

``label``   the class of the largest logit; of equal ones the lowest.
``scores``  every logit rounded to a multiple of a public step, floor((logit + step / 2) / step): a function of the
            logit alone, so that asking again tells nothing more as long as the logit is the same.
``logits``  everything the output layer says.
"""

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import Graph
from pi_system.artifact.ring_config import RingConfig
from pi_system.errors import ConfigError

Reveal = Literal["label", "scores", "logits"]
REVEALS: Final[tuple[Reveal, ...]] = get_args(Reveal)
"""From least to most."""


def check_reveal(graph: Graph, reveal: Reveal) -> None:
    """Refuse what is none of the policies, and the label of a network that has none. Raises ConfigError."""
    if reveal not in REVEALS:
        raise ConfigError(f"reveal: expected one of {', '.join(REVEALS)}, found {reveal!r:.40}")
    if reveal == "label" and graph.nodes[-1].shape == (1,):
        raise ConfigError(
            "reveal: expected scores or logits of a network with one output, which has no label; found label"
        )


def tells_more(one: Reveal, other: Reveal) -> bool:
    """Whether ``one`` lets a client learn more than ``other`` does."""
    return REVEALS.index(one) > REVEALS.index(other)


def score_shift(graph: Graph, ring: RingConfig) -> int:
    """Low bits of a logit that a score does not have: base-2 logarithm of the step in ulps of a logit."""
    return ring.score_step(graph.output) + ring.frac_bits[graph.output]


def revealed(logits: NDArray[np.int64], graph: Graph, ring: RingConfig, reveal: Reveal) -> NDArray[np.int64]:
    """What ``reveal`` opens of fixed-point logits (N, classes): labels (N, 1), scores or logits (N, classes)."""
    if reveal == "label":
        labels: NDArray[np.int64] = np.argmax(logits, axis=1, keepdims=True).astype(np.int64)
        return labels
    if reveal == "scores":
        shift = score_shift(graph, ring)
        rounded: NDArray[np.int64] = (logits + (1 << (shift - 1))) >> shift
        return rounded
    return logits


def outputs_to_float(
    opened: NDArray[np.integer], graph: Graph, ring: RingConfig, reveal: Reveal
) -> NDArray[np.float64]:
    """The opened integers as a client reads them: class indices, or real numbers."""
    values = opened.astype(np.float64)
    if reveal == "label":
        return values
    frac_bits = ring.frac_bits[graph.output]
    return values * 2.0 ** (score_shift(graph, ring) - frac_bits if reveal == "scores" else -frac_bits)
