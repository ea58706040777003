"""Which channels of a network's mixed activations can do without their ReLUs, and what the loss says of how many.

``channels`` here are those of a layer in front of which a MixedActivation stands that has a polynomial for each of
them; ``degrees`` are those of the polynomials, int64 (C,).
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from pi_system.reduce.method import ReductionTask
from pi_system.reduce.sensitivity import mean_loss, sample_batches
from pi_system.train.mixed import Kind, MixedActivation, mixed_activations
from pi_system.train.parallel import from_first

_STEPS = 8
_KINDS = torch.tensor([Kind.LINEAR, Kind.LINEAR, Kind.QUADRATIC], dtype=torch.uint8)
"""Of a polynomial, by its degree; a constant is b x + c with b = 0."""


@dataclass(frozen=True, slots=True)
class ChannelStep:
    """A layer with its ``given_up`` least important channels as polynomials, and the rise of the loss then."""

    given_up: int
    relus: int
    squares: int
    loss: float


def give_up(layer: MixedActivation, channels: Tensor, degrees: Tensor) -> None:
    """Put the polynomials of ``channels``, bool (C,), in the place of their ReLUs; other channels are left alone."""
    kinds = torch.where(channels[:, None, None] & layer.mask.cpu(), _KINDS[degrees][:, None, None], layer.kinds.cpu())
    layer.set_kinds(kinds)


def channel_importance(task: ReductionTask, network: nn.Module) -> dict[str, Tensor]:
    """What the polynomials do to the loss: the mean over pictures of (sum over positions dL/dy (p(x) - ReLU(x)))^2.

    Args:
        task: gives the pictures.
        network: with mixed activations whose ReLUs are still all there.

    Returns:
        float64 (C,) by layer.
    """
    network = copy.deepcopy(network).eval()
    found: dict[str, Tensor] = {}

    def look(name: str, layer: MixedActivation, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0].detach()
        a, b, c = (value[:, None, None] for value in layer.coefficients.detach().unbind(1))
        change = ((a * x + b) * x + c - functional.relu(x)) * layer.mask

        def add(gradient: Tensor) -> None:
            effect = (gradient * change).sum((2, 3)).double().square().sum(0)
            found[name] = found.get(name, torch.zeros_like(effect)) + effect

        output.register_hook(add)  # type: ignore[no-untyped-call]

    for name, layer in mixed_activations(network).items():
        layer.register_forward_hook(partial(look, name))
    for x, labels in sample_batches(network, task):
        functional.cross_entropy(network(x), labels, reduction="sum").backward()  # type: ignore[no-untyped-call]
    return from_first({name: value.cpu() for name, value in found.items()})


def measure_steps(
    task: ReductionTask, network: nn.Module, order: Mapping[str, Tensor], degrees: Mapping[str, Tensor]
) -> dict[str, list[ChannelStep]]:
    """The loss of each layer with 0, 1/8, 2/8, .. of its channels, least important first, given up alone.

    Batch normalisation takes each batch's statistics, as it would after a moment of training.
    """
    network = copy.deepcopy(network).train()
    with torch.no_grad():
        whole = mean_loss(network, task)
        return from_first(
            {
                name: [
                    _step(task, network, layer, order[name], degrees[name], count, whole) for count in _counts(layer)
                ]
                for name, layer in mixed_activations(network).items()
            }
        )


def _counts(layer: MixedActivation) -> list[int]:
    channels = layer.shape[0]
    return sorted({round(channels * step / _STEPS) for step in range(_STEPS + 1)})


def _step(
    task: ReductionTask,
    network: nn.Module,
    layer: MixedActivation,
    order: Tensor,
    degrees: Tensor,
    count: int,
    whole: float,
) -> ChannelStep:
    before = layer.kinds.clone()
    channels = torch.zeros(layer.shape[0], dtype=torch.bool)
    channels[order[:count]] = True
    give_up(layer, channels, degrees)
    loss = mean_loss(network, task) - whole if count else 0.0
    step = ChannelStep(count, layer.active, layer.squares, loss)
    layer.set_kinds(before)
    return step


def give_back(budget: int, costs: Mapping[str, Tensor], order: Mapping[str, Tensor], given_up: dict[str, int]) -> None:
    """Let the most important channels given up, layer after layer, be ReLUs again while the budget allows it.

    Args:
        budget: largest number of ReLUs.
        costs: ReLUs of every channel, (C,) by layer.
        order: channels, least important first.
        given_up: how many of them are given up; changed in place.
    """
    left = budget - sum(int(costs[name][order[name][count:]].sum()) for name, count in given_up.items())
    for name in sorted(given_up, key=lambda layer: -int(costs[layer].max())):
        while given_up[name] and (cost := int(costs[name][order[name][given_up[name] - 1]])) <= left:
            given_up[name] -= 1
            left -= cost
