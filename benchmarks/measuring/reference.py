"""The plaintext side of a measurement: expected logits, the time of torch float32 on one core, and the floor."""

import time
from typing import Final, NamedTuple

import numpy as np
import torch
from measuring.processes import pinned
from numpy.typing import NDArray
from torch import Tensor

from pi_system.artifact.graph import Conv2d, Linear
from pi_system.artifact.model import Artifact
from pi_system.channel.link import Link
from pi_system.program.error_bound import artifact_ulp_bound
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import FloatInterpreter


class PlaintextTime(NamedTuple):
    """One plaintext run in ms: all of it, and its convolutions and linear layers alone."""

    total_ms: float
    conv_ms: float


class LogitError(NamedTuple):
    """Largest distances of logits: to float, to fixed point in the last place; are all within the bound?"""

    absolute: float
    ulps: int
    bounded: bool

    def worse(self, other: "LogitError") -> "LogitError":
        """The larger of both distances."""
        return LogitError(
            max(self.absolute, other.absolute), max(self.ulps, other.ulps), self.bounded and other.bounded
        )


NO_ERROR: Final = LogitError(0.0, 0, True)


class _TimedInterpreter(FloatInterpreter):
    conv_s = 0.0

    def weighted(self, node: Conv2d | Linear, x: Tensor) -> Tensor:
        start_s = time.perf_counter()
        out = super().weighted(node, x)
        self.conv_s += time.perf_counter() - start_s
        return out


class Reference:
    """Oracle of one artifact on given pictures (N, C, H, W). Sets torch to one thread for the whole process."""

    def __init__(self, artifact: Artifact, pictures: NDArray[np.float32]):
        """Compute the expected logits, float and fixed-point."""
        torch.set_num_threads(1)
        self._graph, self._pictures = artifact.public.graph, torch.from_numpy(np.ascontiguousarray(pictures))
        self._frac_bits = artifact.public.ring.frac_bits[self._graph.output]
        self._interpreter = _TimedInterpreter(artifact.masks, artifact.weights)
        self._float = self._interpreter.run(self._graph, self._pictures).numpy().astype(np.float64)
        self._fixed = fixed_logits(artifact, pictures)[0]
        self._bound = artifact_ulp_bound(artifact)

    def error(self, first: int, logits: NDArray[np.float64]) -> LogitError:
        """How far ``logits`` (M, classes) of the pictures [first, first + M) are from what is expected."""
        rows = slice(first, first + len(logits))
        ulps = np.abs(np.rint(logits * 2.0**self._frac_bits) - self._fixed[rows])
        absolute = np.abs(logits - self._float[rows]).max()
        return LogitError(float(absolute), int(ulps.max()), bool((ulps <= self._bound).all()))

    def label_error(self, first: int, labels: NDArray[np.float64]) -> LogitError:
        """How far below the best logit those of ``labels`` (M, 1) are, for the pictures [first, first + M)."""
        rows, chosen = slice(first, first + len(labels)), labels.astype(np.int64)
        absolute, ulps = (
            values[rows].max(axis=1, keepdims=True) - np.take_along_axis(values[rows], chosen, axis=1)
            for values in (self._float, self._fixed)
        )
        bounded = (ulps <= 2 * self._bound.max()).all()
        return LogitError(float(absolute.max()), int(ulps.max()), bool(bounded))

    def run_timed(self, first: int, count: int, core: int, runs: int = 3) -> list[PlaintextTime]:
        """Time ``runs`` plaintext runs of ``count`` pictures on ``core``, after one that warms its caches."""
        pictures, samples = self._pictures[first : first + count], []
        with pinned(core):
            for _ in range(1 + runs):
                self._interpreter.conv_s = 0.0
                start_s = time.perf_counter()
                self._interpreter.run(self._graph, pictures)
                total_s = time.perf_counter() - start_s
                samples.append(PlaintextTime(1000 * total_s, 1000 * self._interpreter.conv_s))
        return samples[1:]


def floor_ms(conv_ms: float, *, sent_bytes: int, received_bytes: int, round_trips: float, link: Link) -> float:
    """What is left of an online phase when the protocol's own computing costs nothing.

    That is plaintext convolutions, bytes over the bandwidth, and round trips one after the other (half of one where
    both parties send at once and then wait). The link's directions do not disturb each other, so the busier one counts,
    packet headers included; on loopback only the convolutions are left.
    """
    return conv_ms + 1000 * (link.transfer_s(max(sent_bytes, received_bytes)) + round_trips * link.rtt_s)
