"""Gates between a deep block and the shallow one that shall replace it, trained until only the shallow one is left.

A gated block gives g deep(x) + (1 - g) shallow(x) with a trained g that starts at 1. Two things bring it to 0: a
penalty of ``pressure`` times the mean gate is added to the loss, and a ceiling on g falls linearly to 0 at the last
step, so that dropping the deep branch then changes nothing.

Source: the gated two-branch block is that of "Making Models Shallow Again", Kundu et al., CVPRW 2023, arXiv 2304.13274,
from memory: penalty and ceiling are our choice.
"""

import copy

import torch
from torch import Tensor, nn

from pi_system.reduce.shallow_weights import sites
from pi_system.train.loop import Companion
from pi_system.train.networks import Classifier


class GatedBlock(nn.Module):
    """Two branches of the same shapes and the gate between them."""

    ceiling: Tensor

    def __init__(self, deep: nn.Module, shallow: nn.Module) -> None:
        """Start as the deep branch."""
        super().__init__()
        self.deep, self.shallow = deep, shallow
        self.gate = nn.Parameter(torch.ones(()))
        self.register_buffer("ceiling", torch.ones(()))

    def opening(self) -> Tensor:
        """g, from 0 to the ceiling."""
        return self.gate.clamp(min=0).minimum(self.ceiling)

    def forward(self, x: Tensor) -> Tensor:
        """Mix both branches."""
        g = self.opening().to(x.dtype)
        return g * self.deep(x) + (1 - g) * self.shallow(x)  # type: ignore[no-any-return]


def gated(deep: Classifier, shallow: Classifier, full: tuple[str, ...], depth: tuple[str, ...]) -> nn.Module:
    """A network with the shallow one's modules, and a gate at every block that the two differ in.

    Args:
        deep: with all its blocks; copied.
        shallow: its modules are shared, so that training the result trains them.
        full: the deep network's digits.
        depth: the shallow one's; a block with 0 is the identity on its shallow branch.
    """
    whole, kept = sites(copy.deepcopy(deep), full), sites(shallow, depth)
    stages: list[list[nn.Module]] = [[] for _ in full]
    for (stage, place), block in whole.items():
        mine = kept.get((stage, place), nn.Identity())
        same = depth[stage][place] == full[stage][place]
        stages[stage].append(mine if same else GatedBlock(block, mine))
    network = copy.copy(shallow)
    network._modules = dict(shallow._modules)
    network.stages = nn.Sequential(*(nn.Sequential(*blocks) for blocks in stages))
    return network


class GateTraining(Companion):
    """The companion of the training: the penalty, and the ceiling, which is in the network's buffers."""

    def __init__(self, network: nn.Module, pressure: float) -> None:
        """Collect the gates."""
        self._gates = [module for module in network.modules() if isinstance(module, GatedBlock)]
        self._pressure = pressure

    def extra_loss(self) -> Tensor | None:
        """Pressure times the mean gate."""
        if not self._gates:
            return None
        return self._pressure * torch.stack([gate.opening() for gate in self._gates]).mean()

    def after_step(self, done: int, steps: int) -> None:
        """Lower the ceiling."""
        for gate in self._gates:
            gate.ceiling.fill_(1 - done / steps)
