"""A torch.fx graph in the making, with one example value carried along every step."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

__all__ = ["Builder", "Traced"]


@dataclass(frozen=True, slots=True)
class Traced:
    """A value that depends on the network's input: its node, and what it is for an input of zeros."""

    node: fx.Node
    example: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """With the batch, one, or that of a program which was exported for another."""
        return tuple(self.example.shape)


class Builder:
    """Layers and functions, appended one by one."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._graph = fx.Graph()
        self._modules = nn.Module()

    def input(self, sizes: tuple[int, ...]) -> Traced:
        """The network's input."""
        return Traced(self._graph.placeholder("input"), torch.zeros(sizes))

    def layer(self, name: str, module: nn.Module, x: Traced) -> Traced:
        """``module`` on ``x``."""
        module = module.eval().requires_grad_(False)
        target = self._free(name)
        self._modules.add_module(target, module)
        with torch.no_grad():
            return Traced(self._graph.call_module(target, (x.node,)), module(x.example))

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Traced:
        """``function`` of traced values, arrays (kept as buffers) and plain arguments."""
        args = tuple(self._constant(arg) if isinstance(arg, np.ndarray) else arg for arg in args)
        nodes, examples = (fx.node.map_aggregate((args, kwargs), pick) for pick in (_node, _example))
        with torch.no_grad():
            return Traced(self._graph.call_function(function, *nodes), function(*examples[0], **examples[1]))

    def batch(self, x: Traced) -> Traced:
        """The batch size of ``x``, for reshapes; its example is that of the examples."""
        return Traced(self._graph.call_method("size", (x.node, 0)), torch.tensor(x.shape[0]))

    def finish(self, output: Traced) -> fx.GraphModule:
        """The module. Raises nothing but what fx does."""
        self._graph.output(output.node)
        return fx.GraphModule(self._modules, self._graph).eval()

    def _constant(self, values: NDArray[Any]) -> Traced:
        target = self._free("constant")
        tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))
        self._modules.register_buffer(target, tensor)
        return Traced(self._graph.get_attr(target), tensor)

    def _free(self, name: str) -> str:
        """A name of a part that no other has."""
        base = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[-80:] or "layer"
        base = base if not base[0].isdigit() else f"layer_{base}"
        name, copies = base, 0
        while hasattr(self._modules, name):
            copies += 1
            name = f"{base}_{copies}"
        return name


def _node(value: Any) -> Any:
    return value.node if isinstance(value, Traced) else value


def _example(value: Any) -> Any:
    return value.example if isinstance(value, Traced) else value
