"""A sparse proxy of a network: trained while its convolutions lose all but a share of their weights.

What SENet reads a layer's sensitivity to pruning from. At share s of the training the share of weights left is
d + (1 - d) (1 - s / 0.75)^3, and d from there on: the largest in magnitude of all layers together. A pruned weight is
zero after every step.

Source: Zhu and Gupta, 2017, arXiv 1710.01878. Which sparse training SENet uses was not verified.
"""

import copy
from dataclasses import replace

import torch
from torch import nn

from pi_system.reduce.method import ReductionTask
from pi_system.reduce.sensitivity import feeding_convolutions
from pi_system.reduce.training import train_student
from pi_system.train.loop import Companion
from pi_system.train.parallel import from_first

_SETTLED = 0.75
_UPDATES = 50


def trained_density(task: ReductionTask, density: float, epochs: int) -> dict[str, float]:
    """Share of the weights in front of each ReLU layer that training to an overall ``density`` leaves, by layer name.

    Raises:
        Interrupted: stopped; the same call resumes.
    """
    network = copy.deepcopy(task.network)
    feeding = feeding_convolutions(network)
    pruning = _Pruning([conv for convs in feeding.values() for conv in convs], density)
    train_student(
        task, network, replace(task.finetune, epochs=epochs, ema=0.0), "proxy", companion=pruning, keep="last"
    )
    if not epochs:
        pruning.prune(density)
    return from_first({name: _left(convs) for name, convs in feeding.items()})


def _left(convs: list[nn.Conv2d]) -> float:
    return float(torch.cat([conv.get_buffer("kept").flatten() for conv in convs]).float().mean())


class _Pruning(Companion):
    """The companion of the training. Which weights are left is in a buffer of each convolution."""

    def __init__(self, convs: list[nn.Conv2d], density: float) -> None:
        self._convs, self._density = convs, density
        for conv in convs:
            conv.register_buffer("kept", torch.ones_like(conv.weight, dtype=torch.bool))

    def after_step(self, done: int, steps: int) -> None:
        """Prune on the schedule every few steps, and keep pruned weights at zero."""
        if done == steps or done % max(1, steps // _UPDATES) == 0:
            left = max(0.0, 1 - done / (_SETTLED * steps)) ** 3
            self.prune(self._density + (1 - self._density) * left)
        self._zero()

    def prune(self, density: float) -> None:
        """Keep the weights largest in magnitude."""
        sizes = torch.cat([conv.weight.detach().abs().flatten() for conv in self._convs])
        kept = torch.zeros_like(sizes, dtype=torch.bool)
        kept[torch.topk(sizes, max(1, round(density * len(sizes)))).indices] = True
        parts = torch.split(kept, [conv.weight.numel() for conv in self._convs])
        for conv, part in zip(self._convs, parts, strict=True):
            conv.get_buffer("kept").copy_(part.view_as(conv.weight))
        self._zero()

    @torch.no_grad()
    def _zero(self) -> None:
        for conv in self._convs:
            conv.weight.mul_(conv.get_buffer("kept"))
