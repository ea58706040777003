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
        """With a batch of one."""
        return tuple(self.example.shape)


class _Function(nn.Module):
    """A function as a layer, so that refusals and the exported graph name the file's node."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


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
        return self._add(name, module, (x,), {})

    def call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Traced:
        """``function`` of traced values, arrays (kept as buffers) and plain arguments."""
        held = tuple(self._constant(arg) if isinstance(arg, np.ndarray) else arg for arg in args)
        return self._add(name, _Function(function), held, kwargs)

    def _add(self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Traced:
        target = self._free(name)
        self._modules.add_module(target, module)
        nodes, examples = (fx.node.map_aggregate((args, kwargs), pick) for pick in (_node, _example))
        with torch.no_grad():
            return Traced(self._graph.call_module(target, *nodes), module(*examples[0], **examples[1]))

    def finish(self, output: Any) -> fx.GraphModule:
        """The module, which returns one value or a list of several."""
        self._graph.output(fx.node.map_aggregate(output, _node))
        return fx.GraphModule(self._modules, self._graph).eval()

    def _constant(self, values: NDArray[Any]) -> Traced:
        target = self._free("constant")
        tensor = torch.from_numpy(np.array(values, np.float32 if values.dtype.kind == "f" else values.dtype))
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
