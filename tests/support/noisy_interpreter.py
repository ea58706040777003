"""A model of the secure run's errors: the fixed-point oracle with every allowed error drawn at random."""

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact import Artifact
from pi_system.artifact.graph import Relu, Truncate
from pi_system.program import encode_input, quantise_weights
from pi_system.program.fixed_point import FixedInterpreter


class _Noisy(FixedInterpreter):
    rng: np.random.Generator
    extreme: int

    def _draw(self, low: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
        if self.extreme:
            return np.full(shape, self.extreme, dtype=np.int64)
        return self.rng.integers(low, 2, shape)

    def relu(self, node: Relu, x: NDArray[np.int64]) -> NDArray[np.int64]:
        exact = super().relu(node, x)
        if self._ring.shift(node) == 0:
            return exact
        mask = self._masks.get(node.name, np.ones(node.shape, dtype=bool))
        noisy = exact + self._draw(-1, x.shape)
        return np.where(mask, np.maximum(noisy, 0), noisy)

    def truncate(self, node: Truncate, x: NDArray[np.int64]) -> NDArray[np.int64]:
        exact = super().truncate(node, x)
        return exact + self._draw(-1, x.shape) if self._ring.shift(node) else exact


def noisy_logits(artifact: Artifact, pictures: NDArray[np.float32], seed: int, extreme: int = 0) -> NDArray[np.int64]:
    """Integer logits with errors drawn from ``seed``, or all at their lowest (-1) or highest (1) value."""
    graph, ring = artifact.public.graph, artifact.public.ring
    noisy = _Noisy(ring, artifact.masks, quantise_weights(graph, ring, artifact.weights))
    noisy.rng, noisy.extreme = np.random.default_rng(seed), extreme
    return noisy.run(graph, encode_input(pictures, graph, ring))
