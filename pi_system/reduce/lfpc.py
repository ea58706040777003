"""LFPC: which criterion filters are pruned by is learned, one for each group of channels, on a held-out loss.

A group keeps as many channels as ``l1`` would; which ones, a criterion says: L1 norm, L2 norm, or distance to the
geometric median (see ``filters``). The sampler has a logit for each group and criterion. A step draws one criterion a
group by the Gumbel-softmax (hard forwards, soft backwards), masks the channels the criterion would prune, and the
loss of the masked network, whose weights stay, reaches the logits through the masks, so all groups decide together.
Then the most probable criteria prune, and the narrower network is finetuned with distillation.

Source: ``Lfpc.SOURCE``. Verified from the abstract: a differentiable sampler of criteria a layer, trained on the
validation loss of the pruned network, all layers at once. Not verified, our choice: the three criteria, one ratio for
all groups, weights that stay as they are, Adam at 0.1, the temperature, and batch statistics for batch
normalisations. The sampler learns from a part of the training pictures, so that the validation pictures stay unseen.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from pi_system.reduce.filters import CRITERIA, Pruning, narrowed, ranking
from pi_system.reduce.l1 import FilterOptions, report_of, shares_of
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.outer import generator_of, split_training
from pi_system.reduce.training import train_student
from pi_system.train.channels import Channels, channels_of, masked_weights
from pi_system.train.networks import Classifier
from pi_system.train.relu_map import ReluMap

_RATE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lfpc(FilterOptions):
    """LFPC: filter pruning whose criterion is learned for each group of channels."""

    REDUCES: ClassVar[str] = "channels, inside blocks and of residual streams"
    SOURCE: ClassVar[str] = "He, Ding, Liu, Zhu, Zhang, Yang, CVPR 2020"
    DIFFERS: ClassVar[str] = (
        "read: the abstract; three criteria, one ratio, weights that stay while the sampler learns on "
        "held-out training pictures are our choice"
    )

    search_epochs: int = option(
        2, "Epochs in which the sampler learns, each over half of the training pictures.", within="[1, 100000]"
    )
    temperature: float = option(1.0, "Of the Gumbel-softmax.", within="(0, inf)")

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: what stays whole, and one channel of everything else, is over the budget.
            ConfigError: options that do not fit the network.
            Interrupted: stopped; the same task resumes.
        """
        channels = channels_of(task.network)
        rankings = [[ranking(task.network, group, one) for one in CRITERIA] for group in channels.groups]
        shares = shares_of(task, channels, self.where, self.ratios, self.skip)
        start = Pruning.of(task.network, channels, [by_criterion[0] for by_criterion in rankings], shares)
        sizes = start.sizes(start.ratio(task.budget))
        chosen = self._search(task, channels, rankings, sizes)
        best = [by_criterion[one] for by_criterion, one in zip(rankings, chosen, strict=True)]
        pruning = Pruning.of(task.network, channels, best, shares)
        ratio = pruning.ratio(task.budget)
        spec, student = narrowed(task, channels, pruning.kept(pruning.sizes(ratio)))
        fitted = train_student(task, student, task.finetune, "finetune")
        names = list(CRITERIA)
        criteria = {group.writers[0]: names[one] for group, one in zip(channels.groups, chosen, strict=True)}
        report = {**report_of(pruning, ratio), "criteria": criteria, "layers": ReluMap.of(student).counts}
        return ReductionResult(spec=spec, network=student, fitted=fitted, report=report)

    def _search(
        self, task: ReductionTask, channels: Channels, rankings: Sequence[Sequence[Tensor]], sizes: Sequence[int]
    ) -> list[int]:
        """Index of the criterion of each group."""
        _, held_out = split_training(task)
        config = replace(
            task.finetune,
            epochs=self.search_epochs,
            optimizer="adam",
            schedule="constant",
            learning_rate=_RATE,
            weight_decay=0.0,
            distill_weight=0.0,
            warmup=0.0,
            ema=0.0,
        )
        sampler = CriteriaSampler(
            task.network, channels, rankings, sizes, temperature=self.temperature, seed=task.finetune.seed
        )
        searching = replace(task, data=replace(task.data, train=held_out))
        train_student(searching, sampler, config, "search", keep="last")
        return sampler.chosen


class CriteriaSampler(nn.Module):
    """A network whose channels are masked by drawn criteria in training, by the most probable ones in evaluation.

    Args:
        network: copied; its weights do not learn.
        channels: of the network.
        rankings: positions, best first, for each group and criterion.
        sizes: how many channels of each group stay.
        temperature: of the Gumbel-softmax.
        seed: of the draws.
    """

    draws: Tensor

    def __init__(
        self,
        network: Classifier,
        channels: Channels,
        rankings: Sequence[Sequence[Tensor]],
        sizes: Sequence[int],
        *,
        temperature: float,
        seed: int,
    ) -> None:
        """Start with all criteria equally probable."""
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.0  # statistics of the batch, and none are remembered
        self.logits = nn.Parameter(torch.zeros(len(sizes), len(CRITERIA)))
        self.register_buffer("draws", torch.tensor(0))
        self._channels, self._temperature, self._seed = channels, temperature, seed
        for place, (orders, size) in enumerate(zip(rankings, sizes, strict=True)):
            kept = torch.stack([torch.zeros(len(one)).index_fill(0, one[:size], 1.0) for one in orders])
            self.register_buffer(f"kept{place}", kept, persistent=False)

    @property
    def chosen(self) -> list[int]:
        """The most probable criterion of each group; the first one on a tie."""
        return [int(one) for one in self.logits.detach().cpu().argmax(1)]

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the masked network."""
        weights = masked_weights(self.network, self._channels, self.masks(self._draw()))
        return functional_call(self.network, weights, (x,))  # type: ignore[no-any-return]

    def masks(self, choice: Tensor) -> list[Tensor]:
        """The mask of each group, (size,), for a choice of criteria (groups, criteria) whose rows sum to 1."""
        return [choice[place] @ self.get_buffer(f"kept{place}") for place in range(len(choice))]

    def _draw(self) -> Tensor:
        if not self.training:
            return functional.one_hot(self.logits.argmax(1), len(CRITERIA)).float()
        self.draws += 1
        generator = generator_of(self._seed, int(self.draws))
        uniform = torch.rand(self.logits.shape, generator=generator).clamp(1e-6, 1 - 1e-6).to(self.logits.device)
        soft = functional.softmax((self.logits - (-uniform.log()).log()) / self._temperature, dim=1)
        hard = functional.one_hot(soft.argmax(1), len(CRITERIA)).float()
        return hard + soft - soft.detach()
