"""Plaintext float interpreter: the graph in float32, equal to the torch module it was exported from (to 1e-4).

With ``coins`` the signs of which few bits are compared are random near zero, as in the secure run.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pi_system.artifact import graph as ops
from pi_system.artifact.model import Artifact, Masks
from pi_system.program.interpreter import Interpreter
from pi_system.program.random_sign import kept_real, tournament, windows
from pi_system.ring.prg import Prg


class Observer(Protocol):
    """Sees every node's value (N, *shape) as it is computed; used to calibrate ranges."""

    def __call__(self, node: ops.Node, value: Tensor) -> None:
        """Look at ``value``; it must not be changed."""


class FloatInterpreter(Interpreter[Tensor]):
    """Real numbers, in float32 if nothing else is said: values are (N, *shape)."""

    def __init__(
        self,
        masks: Masks,
        weights: Mapping[str, NDArray[np.floating[Any]]],
        observe: Observer | None = None,
        *,
        random_signs: tuple[Mapping[str, float], Prg] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Hold the network's tensors.

        Args:
            masks: ReLU map.
            weights: of the weighted nodes.
            observe: called with every value.
            random_signs: windows of ReLUs and max-pools (``RingConfig.window``) by node name, 0 or absent for exact
                signs, and the coins.
            dtype: what is computed in.
        """
        self._windows: Mapping[str, float] = random_signs[0] if random_signs else {}
        self._coins = random_signs[1] if random_signs else None
        self._masks = {name: torch.from_numpy(mask) for name, mask in masks.items()}
        self._weights = {name: torch.from_numpy(tensor).to(dtype) for name, tensor in weights.items()}
        self._dtype = dtype
        self._observe = observe

    def run(self, graph: ops.Graph, value: Tensor) -> Tensor:
        """Logits (N, classes) of pictures (N, C, H, W)."""
        with torch.no_grad():
            return super().run(graph, value.to(self._dtype))

    def _step(self, node: ops.Node, operands: list[Tensor]) -> Tensor:
        return self._seen(node, super()._step(node, operands))

    def _seen(self, node: ops.Node, value: Tensor) -> Tensor:
        if self._observe is not None:
            self._observe(node, value)
        return value

    def input(self, node: ops.Input, value: Tensor) -> Tensor:
        """The pictures."""
        return self._seen(node, value)

    def weighted(self, node: ops.WeightedNode, x: Tensor) -> Tensor:
        """Convolution or fully connected layer."""
        weight, bias = self._weights[f"{node.name}.weight"], self._weights[f"{node.name}.bias"]
        if isinstance(node, ops.Linear):
            return F.linear(x, weight, bias)
        return F.conv2d(x, weight, bias, node.stride, node.padding, groups=node.groups)

    def relu(self, node: ops.Relu, x: Tensor) -> Tensor:
        """ReLU on the active positions."""
        mask = self._masks.get(node.name)
        positive = self._rectified(node, x)
        return positive if mask is None else torch.where(mask, positive, x)

    def square(self, node: ops.Square, x: Tensor) -> Tensor:
        """x * x / 2^halvings + bias on the active positions."""
        squared = x * x * 2.0**-node.halvings
        squared = self._biased(node, squared)
        mask = self._masks.get(node.name)
        return squared if mask is None else torch.where(mask, squared, x)

    def select(self, node: ops.Select, x: Tensor) -> Tensor:
        """Zero but on the active positions."""
        return x * self._masks[node.name]

    def add(self, node: ops.Add, a: Tensor, b: Tensor) -> Tensor:
        """Sum."""
        return a + b

    def concat(self, node: ops.Concat, xs: list[Tensor]) -> Tensor:
        """Concatenation along channels."""
        return torch.cat(xs, dim=1)

    def flatten(self, node: ops.Flatten, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C * H * W)."""
        return x.flatten(1)

    def avgpool(self, node: ops.AvgPool2d, x: Tensor) -> Tensor:
        """Average over windows, padding counted, or their sum."""
        return F.avg_pool2d(x, node.kernel, node.stride, node.padding, divisor_override=1 if node.summed else None)

    def maxpool(self, node: ops.MaxPool2d, x: Tensor) -> Tensor:
        """Maximum over windows; padding never wins."""
        width, coins = self._windows.get(node.name, 0.0), self._coins
        if coins is None or width == 0:
            return F.max_pool2d(x, node.kernel, node.stride, node.padding)
        views = windows(x.numpy(), node, float(np.finfo(np.float32).min) / 4)
        winner = tournament(views, lambda difference: kept_real(difference, width, coins))
        return torch.from_numpy(np.ascontiguousarray(winner))

    def _rectified(self, node: ops.Relu, x: Tensor) -> Tensor:
        width = self._windows.get(node.name, 0.0)
        if self._coins is None or width == 0:
            return torch.relu(x)
        return x * torch.from_numpy(kept_real(x.numpy(), width, self._coins))

    def gather(self, node: ops.Gather, x: Tensor) -> Tensor:
        """Elements at the node's positions, zeros where there is none."""
        index = torch.from_numpy(node.indices())
        return x.flatten(1)[:, index.clamp(min=0)] * (index >= 0)

    def affine(self, node: ops.Affine, x: Tensor) -> Tensor:
        """x or -x, plus a bias a channel."""
        return self._biased(node, -x if node.negated else x)

    def _biased(self, node: ops.Square | ops.Affine, x: Tensor) -> Tensor:
        if not node.biased:
            return x
        return x + self._weights[f"{node.name}.bias"].reshape(-1, *(1,) * (len(node.shape) - 1))

    def truncate(self, node: ops.Truncate, x: Tensor) -> Tensor:
        """Identity on real numbers."""
        return x


def float_logits(artifact: Artifact, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Plaintext logits (N, classes) of preprocessed pictures (N, C, H, W)."""
    interpreter = FloatInterpreter(artifact.masks, artifact.weights)
    logits = interpreter.run(artifact.public.graph, torch.from_numpy(np.ascontiguousarray(pictures)))
    return np.asarray(logits.numpy(), dtype=np.float32)
