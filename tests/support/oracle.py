"""What plaintext says of an artifact's pictures, and how near a secure run must come."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact import Artifact
from pi_system.program.error_bound import artifact_ulp_bound
from pi_system.program.fixed_point import fixed_logits


def assert_within_ulps(artifact: Artifact, pictures: NDArray[Any], logits: NDArray[Any]) -> NDArray[np.float64]:
    """The logits are the fixed-point oracle's up to the stated ulps; returns the oracle's."""
    expected, real = fixed_logits(artifact, pictures, check_range=True)
    found = logits * 2.0 ** artifact.public.ring.frac_bits[artifact.public.graph.output]
    assert (np.abs(found - expected) <= artifact_ulp_bound(artifact)).all()
    return real


def clear_labels(artifact: Artifact, pictures: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which pictures have a best logit that no allowed error can pass (N,), and their labels."""
    _, expected = fixed_logits(artifact, pictures)
    top = np.sort(expected, axis=1)[:, -2:]
    clear = top[:, 1] - top[:, 0] > 0.05
    assert clear.any()
    return clear, expected.argmax(axis=1)[clear]
