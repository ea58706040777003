"""Which channels of a network belong together, found by following its graph, and a network without some of them.

A convolution's filters are a group of channels. An addition makes the groups of both operands one, so a residual
stream is one group that several layers write; a concatenation puts groups side by side. A group that is narrowed is
narrowed everywhere: filters, batch normalisations, ReLUs and the columns of the layers that read it. So a network
of any family is narrowed by the same code, and its name says how (``filters`` of ``NetworkSpec``): a number for each
group in the order of execution.
"""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from pi_system.errors import ConfigError
from pi_system.train.mixed import MixedActivation
from pi_system.train.relu import MaskedReLU, ReluTracer

_INPUT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelGroup:
    """Channels that exist together.

    ``writers`` are the layers whose filters they are, ``relus`` the ReLU layers over them, both in the order of
    execution.
    """

    size: int
    writers: tuple[str, ...]
    relus: tuple[str, ...]

    @property
    def inner(self) -> bool:
        """Whether one layer alone writes it: it is not a residual stream."""
        return len(self.writers) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Groups of a network in the order of execution; neither the picture's channels nor the logits are among them.

    ``reads`` and ``writes`` say for every layer by its module path which groups its input and its output consist of,
    by index; None stands for the picture or the logits.
    """

    groups: tuple[ChannelGroup, ...]
    reads: Mapping[str, tuple[int | None, ...]]
    writes: Mapping[str, int | None]


def channels_of(network: nn.Module) -> Channels:
    """Follow the channels of a network; weights are not looked at, so it may be on the meta device.

    Raises:
        ConfigError: a layer whose channels cannot be followed, named.
    """
    follower = _Follower(dict(network.named_modules()))
    for node in ReluTracer().trace_module(network).graph.nodes:
        follower.follow(node)
    return follower.finish()


class _Follower:
    """Union-find over variables, each the channels that one layer writes; 0 is the picture."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self.modules = modules
        self.parent, self.sizes = [_INPUT], [0]
        self.written: dict[str, int] = {}
        self.read: dict[str, tuple[int, ...]] = {}
        self.values: dict[fx.Node, tuple[int, ...]] = {}
        self.logits: tuple[int, ...] = ()

    def follow(self, node: fx.Node) -> None:
        """Note what one node does to channels."""
        inputs = [self.values[one] for one in node.all_input_nodes]
        if node.op == "placeholder":
            self.values[node] = (_INPUT,)
        elif node.op == "output":
            (self.logits,) = inputs
        elif node.op == "call_module":
            self.values[node] = self._module(str(node.target), *inputs)
        elif node.target is operator.add and len(inputs) == 2:
            self.values[node] = self._sum(node.name, *inputs)
        elif node.target is torch.cat:
            self.values[node] = tuple(one for part in inputs for one in part)
        else:
            raise ConfigError(f"channels: expected layers, sums and concatenations; found {node.target} ({node.name})")

    def _module(self, name: str, x: tuple[int, ...]) -> tuple[int, ...]:
        module = self.modules[name]
        if isinstance(module, nn.Conv2d) and module.groups != 1:
            raise ConfigError(f"channels: expected convolutions without groups; found {module} at {name}")
        self.read[name] = x
        if isinstance(module, nn.Linear) and _per_channel(module, sum(self.sizes[one] for one in x)) == 0:
            raise ConfigError(
                f"channels: expected as many values of each channel before {name}; found {module.in_features} values"
            )
        if isinstance(module, nn.Conv2d | nn.Linear):
            self.parent.append(len(self.parent))
            self.sizes.append(module.weight.shape[0])
            self.written[name] = self.parent[-1]
            return (self.parent[-1],)
        known = isinstance(module, nn.BatchNorm2d | MaskedReLU)
        if not known and any(True for _ in (*module.parameters(), *module.buffers())):
            raise ConfigError(
                f"channels: expected a layer that can be narrowed; found {type(module).__name__} ({name})"
            )
        return x

    def _sum(self, name: str, first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
        if len(first) != len(second):
            raise ConfigError(f"channels: expected a sum of equal concatenations; found {name}")
        for one, other in zip(first, second, strict=True):
            low, high = sorted((self._root(one), self._root(other)))
            self.parent[high] = low
        return first

    def _root(self, variable: int) -> int:
        while self.parent[variable] != variable:
            variable = self.parent[variable]
        return variable

    def finish(self) -> Channels:
        fixed = {_INPUT, *map(self._root, self.logits)}
        roots = sorted({self._root(one) for one in self.written.values()} - fixed)
        index: dict[int, int | None] = {root: place for place, root in enumerate(roots)} | dict.fromkeys(fixed)
        writes = {name: index[self._root(one)] for name, one in self.written.items()}
        reads = {name: tuple(index[self._root(one)] for one in x) for name, x in self.read.items()}
        groups = tuple(
            ChannelGroup(
                size=self.sizes[root],
                writers=tuple(name for name, group in writes.items() if group == place),
                relus=tuple(n for n, x in reads.items() if place in x and isinstance(self.modules[n], MaskedReLU)),
            )
            for place, root in enumerate(roots)
        )
        return Channels(groups=groups, reads=reads, writes=writes)


def _per_channel(layer: nn.Linear, channels: int) -> int:
    """Values of each channel that a linear layer reads; 0 where they are not equally many."""
    return layer.in_features // channels if channels and layer.in_features % channels == 0 else 0


def keep_first(channels: Channels, sizes: Sequence[int]) -> list[Tensor]:
    """The first so many channels of every group, for ``narrow``.

    Raises:
        ConfigError: not one number for each group, from 1 to its size.
    """
    full = [group.size for group in channels.groups]
    if len(sizes) != len(full) or not all(1 <= size <= most for size, most in zip(sizes, full, strict=True)):
        raise ConfigError(f"filters: expected a number for each of {'.'.join(map(str, full))}; found {sizes}")
    return [torch.arange(size) for size in sizes]


def narrow(network: nn.Module, channels: Channels, kept: Sequence[Tensor]) -> None:
    """Leave only some channels of every group, in place; everything that stays keeps its weights and its ReLU mask.

    Args:
        network: whose ``channels`` these are.
        channels: as found by ``channels_of``.
        kept: positions in each group, int64, ascending.
    """
    modules = dict(network.named_modules())
    for name, reads in channels.reads.items():
        module: Any = modules[name]
        columns = None if None in reads else _side_by_side(channels, reads, kept)
        if isinstance(module, nn.Conv2d | nn.Linear):
            group = channels.writes[name]
            if isinstance(module, nn.Linear) and columns is not None:
                values = _per_channel(module, sum(channels.groups[one].size for one in reads if one is not None))
                columns = (columns[:, None] * values + torch.arange(values)).flatten()
            _narrow_weights(module, None if group is None else kept[group], columns)
        elif isinstance(module, nn.BatchNorm2d) and columns is not None:
            _narrow_norm(module, columns)
        elif isinstance(module, MaskedReLU) and columns is not None:
            network.set_submodule(name, _narrow_relu(module, columns))


def _side_by_side(channels: Channels, groups: Sequence[int | None], kept: Sequence[Tensor]) -> Tensor:
    """Positions in a concatenation of groups."""
    parts, offset = [], 0
    for group in groups:
        if group is not None:
            parts.append(kept[group] + offset)
            offset += channels.groups[group].size
    return torch.cat(parts)


def _narrow_weights(module: nn.Conv2d | nn.Linear, rows: Tensor | None, columns: Tensor | None) -> None:
    weight, bias = module.weight.detach(), module.bias
    if rows is not None:
        weight = weight[rows]
        module.bias = None if bias is None else nn.Parameter(bias.detach()[rows].clone())
    if columns is not None:
        weight = weight[:, columns]
    module.weight = nn.Parameter(weight.clone(), requires_grad=module.weight.requires_grad)
    if isinstance(module, nn.Conv2d):
        module.out_channels, module.in_channels = weight.shape[:2]
    else:
        module.out_features, module.in_features = weight.shape


def _narrow_norm(module: nn.BatchNorm2d, columns: Tensor) -> None:
    module.num_features = len(columns)
    if module.affine:
        module.weight = nn.Parameter(module.weight.detach()[columns].clone())
        module.bias = nn.Parameter(module.bias.detach()[columns].clone())
    for name in ("running_mean", "running_var"):
        setattr(module, name, getattr(module, name)[columns].clone())


def _narrow_relu(module: MaskedReLU, columns: Tensor) -> MaskedReLU:
    narrowed = MaskedReLU((len(columns), *module.shape[1:]), stage=module.stage, block=module.block)
    if not module.mask.is_meta:
        narrowed.to(module.mask.device).set_mask(module.mask[columns])
    return _narrow_mixed(module, narrowed, columns) if isinstance(module, MixedActivation) else narrowed


def _narrow_mixed(module: MixedActivation, relu: MaskedReLU, columns: Tensor) -> MixedActivation:
    narrowed = MixedActivation(relu)
    if not module.kinds.is_meta:
        narrowed.set_kinds(module.kinds[columns])
        narrowed.swap.copy_(module.swap)
        narrowed.coefficients = nn.Parameter(
            module.coefficients.detach()[columns].clone(), requires_grad=module.coefficients.requires_grad
        )
    return narrowed


def masked_weights(network: nn.Module, channels: Channels, masks: Sequence[Tensor]) -> dict[str, Tensor]:
    """Weights with which a network computes what it would without some channels, for ``torch.func.functional_call``.

    Nobody reads a channel whose mask is 0. Gradients reach the masks.

    Args:
        network: whose ``channels`` these are.
        channels: as found by ``channels_of``.
        masks: a factor for each channel of each group, (size,).

    Returns:
        By parameter name, the weights of every layer that reads a group.
    """
    found = {}
    for name in channels.writes:
        groups = channels.reads[name]
        if None not in groups:
            factor = torch.cat([masks[group] for group in groups if group is not None])
            weight = network.get_parameter(f"{name}.weight")
            factor = factor.repeat_interleave(weight.shape[1] // len(factor))
            found[f"{name}.weight"] = weight * factor.reshape(1, -1, *[1] * (weight.dim() - 2))
    return found
