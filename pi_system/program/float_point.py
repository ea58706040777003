"""Plaintext float interpreter: the graph in float32, equal to the torch module it was exported from (to 1e-4)."""

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pi_system.artifact import graph as ops
from pi_system.artifact.model import Artifact, Masks, Weights
from pi_system.program.interpreter import Interpreter


class Observer(Protocol):
    """Sees every node's value (N, *shape) as it is computed; used to calibrate ranges."""

    def __call__(self, node: ops.Node, value: Tensor) -> None:
        """Look at ``value``; it must not be changed."""


class FloatInterpreter(Interpreter[Tensor]):
    """Real numbers in float32: values are (N, *shape)."""

    def __init__(self, masks: Masks, weights: Weights, observe: Observer | None = None) -> None:
        """Hold the network's tensors; ``observe`` is called with every value."""
        self._masks = {name: torch.from_numpy(mask) for name, mask in masks.items()}
        self._weights = {name: torch.from_numpy(tensor) for name, tensor in weights.items()}
        self._observe = observe

    def run(self, graph: ops.Graph, value: Tensor) -> Tensor:
        """Logits (N, classes) of pictures (N, C, H, W)."""
        with torch.no_grad():
            return super().run(graph, value.float())

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
        return torch.relu(x) if mask is None else torch.where(mask, torch.relu(x), x)

    def square(self, node: ops.Square, x: Tensor) -> Tensor:
        """x * x / 2^halvings + bias on the active positions."""
        squared = x * x * 2.0**-node.halvings
        if node.biased:
            squared = squared + self._weights[f"{node.name}.bias"].reshape(-1, *(1,) * (len(node.shape) - 1))
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
        """Average over windows, padding counted."""
        return F.avg_pool2d(x, node.kernel, node.stride, node.padding)

    def maxpool(self, node: ops.MaxPool2d, x: Tensor) -> Tensor:
        """Maximum over windows."""
        return F.max_pool2d(x, node.kernel, node.stride, node.padding)

    def truncate(self, node: ops.Truncate, x: Tensor) -> Tensor:
        """Identity on real numbers."""
        return x


def float_logits(artifact: Artifact, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Plaintext logits (N, classes) of preprocessed pictures (N, C, H, W)."""
    interpreter = FloatInterpreter(artifact.masks, artifact.weights)
    logits = interpreter.run(artifact.public.graph, torch.from_numpy(np.ascontiguousarray(pictures)))
    return np.asarray(logits.numpy(), dtype=np.float32)
