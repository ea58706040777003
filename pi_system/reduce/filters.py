"""From scores of filters to a narrower network within a ReLU budget; what ``l1`` and ``lfpc`` share.

A channel's score is the sum over the layers that write it (one for an inner layer of a block, all of them for a
residual stream) of a criterion of the filter: ``l1`` and ``l2`` norms of its weights, or ``gm``, the sum of its
distances to the layer's other filters, which is least for those nearest to the geometric median.

One ratio decides for all groups of channels: a group of c with share s keeps the int(c (1 - ratio s)) best, at least
one. The smallest ratio within the budget is taken.

Sources: l1 and the rounding: Li et al., ICLR 2017, arXiv 1608.08710, and the code of Liu et al., ICLR 2019, arXiv
1810.05270 (cifar/l1-norm-pruning), both of which give the ratios instead of a budget; summed scores for a residual
stream: our choice. gm: He et al., CVPR 2019, arXiv 1811.00250.
"""

import copy
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pi_system.errors import BudgetError, ConfigError
from pi_system.reduce.method import ReductionTask
from pi_system.train.channels import ChannelGroup, Channels, channels_of, narrow
from pi_system.train.networks import Classifier, build_network
from pi_system.train.relu import named_relus
from pi_system.train.spec import NetworkSpec

CRITERIA: Mapping[str, Callable[[Tensor], Tensor]] = {
    "l1": lambda filters: filters.abs().sum(1),
    "l2": lambda filters: filters.square().sum(1).sqrt(),
    "gm": lambda filters: torch.cdist(filters, filters).sum(1),
}
"""Scores (C,) of filters (C, weights)."""

_ROUNDING = 1e-9


def ranking(network: Classifier, group: ChannelGroup, criterion: str) -> Tensor:
    """Positions of the group's channels, best first, int64 (size,)."""
    scores = torch.zeros(group.size)
    for writer in group.writers:
        weight = network.get_parameter(f"{writer}.weight").detach().cpu()
        scores += CRITERIA[criterion](weight.flatten(1))
    return torch.argsort(scores, descending=True, stable=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """Which channels may go, in which order, and what each costs.

    ``rankings`` are positions, best first, for each group; ``shares`` how much of the ratio applies to each, from 0
    (never narrowed) to 1; ``costs`` active ReLUs of every channel of each group, (size,); ``fixed`` those of the
    network's other channels.
    """

    channels: Channels
    rankings: Sequence[Tensor]
    shares: Sequence[float]
    costs: Sequence[Tensor]
    fixed: int

    @classmethod
    def of(
        cls, network: Classifier, channels: Channels, rankings: Sequence[Tensor], shares: Sequence[float]
    ) -> "Pruning":
        """Count the ReLUs of a network's channels."""
        relus = named_relus(network)
        by_channel = {name: relu.mask.cpu().sum((1, 2)) for name, relu in relus.items()}
        costs = []
        for place, group in enumerate(channels.groups):
            cost = torch.zeros(group.size, dtype=torch.int64)
            for name in group.relus:
                cost += _part(by_channel[name], channels, channels.reads[name], place)
            costs.append(cost)
        everything = sum(int(counts.sum()) for counts in by_channel.values())
        fixed = everything - sum(int(cost.sum()) for cost in costs)
        return cls(channels=channels, rankings=rankings, shares=shares, costs=costs, fixed=fixed)

    def sizes(self, ratio: float) -> list[int]:
        """How many channels of each group a ratio keeps."""
        return [
            max(1, int(group.size * (1 - ratio * share) + _ROUNDING))
            for group, share in zip(self.channels.groups, self.shares, strict=True)
        ]

    def relus(self, sizes: Sequence[int]) -> int:
        """ReLUs left when the best so many channels of each group stay."""
        best = zip(self.costs, self.rankings, sizes, strict=True)
        return self.fixed + sum(int(cost[order[:size]].sum()) for cost, order, size in best)

    @property
    def steps(self) -> list[float]:
        """The ratios at which sizes change, ascending; each is the largest with its sizes."""
        pairs = [(g.size, share) for g, share in zip(self.channels.groups, self.shares, strict=True) if share > 0]
        return sorted({0.0} | {(size - n) / (size * share) for size, share in pairs for n in range(1, size)})

    def ratio(self, budget: int) -> float:
        """The smallest of ``steps`` within a budget.

        Raises:
            BudgetError: even with one channel a group there are more ReLUs.
        """
        steps = self.steps
        place = bisect_left(steps, -budget, key=lambda ratio: -self.relus(self.sizes(ratio)))
        if place == len(steps):
            narrowable = sum(share > 0 for share in self.shares)
            what = (
                f"those left with one channel in each of {narrowable} of {len(self.shares)} groups that may be narrowed"
            )
            raise BudgetError(self.relus(self.sizes(steps[-1])), what, budget)
        return steps[place]

    def kept(self, sizes: Sequence[int]) -> list[Tensor]:
        """Positions of the best so many channels of each group, ascending."""
        return [torch.sort(order[:size]).values for order, size in zip(self.rankings, sizes, strict=True)]


def _part(counts: Tensor, channels: Channels, groups: Sequence[int | None], wanted: int) -> Tensor:
    """The counts of one group within a concatenation of groups."""
    parts = torch.split(counts, [0 if one is None else channels.groups[one].size for one in groups])
    return torch.stack([part for part, one in zip(parts, groups, strict=True) if one == wanted]).sum(0)


def narrowed(task: ReductionTask, channels: Channels, kept: Sequence[Tensor]) -> tuple[NetworkSpec, Classifier]:
    """The task's network with these channels alone, and its name.

    Raises:
        ConfigError: the task's network is not what its name builds.
    """
    full = [group.size for group in channels_of(build_network(task.spec, device="meta")).groups]
    if full != [group.size for group in channels.groups]:
        raise ConfigError(f"network: expected the channels of {task.spec}; found {[g.size for g in channels.groups]}")
    student = copy.deepcopy(task.network)
    narrow(student, channels, kept)
    return replace(task.spec, filters=".".join(str(len(positions)) for positions in kept)), student
