"""DeepReShape: a HybReNet whose ReLUs lie where they matter, sized to the budget without any search.

By the budget's share of the source's ReLUs: above a half the network is the HybReNet ``5x5x3x`` with all its
ReLUs (wide networks do best at high counts); up to a half it is ``2x5x3x`` with stage 1 culled and one ReLU layer
a block left (thinning). ReLU counts are proportional to m, so m follows from the budget by a division; it is
trained from new weights with distillation. Options replace any of these choices; ``stride`` 2 halves the feature
maps, and ``reuse`` N keeps the ReLUs of one of N contiguous channel groups.

Source: ``DeepReShape.SOURCE``. Verified: equalization (see ``equalization``), the two
tendencies, the combination with DeepReDuce's steps and ReLU reuse. Not verified, our choice: the switch at a half,
which HybReNet stands for which regime, and the wiring of ReLU reuse. Here the groups without ReLU pass on what
they have: adding the ReLU'd group to them is a linear map, which the next convolution can learn by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from pi_system.errors import BudgetError, ConfigError
from pi_system.reduce.configurations import Configuration
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.training import apply_masks, train_new
from pi_system.train.networks import Classifier, build_network
from pi_system.train.relu import MaskedReLU, named_relus
from pi_system.train.relu_map import ReluMap
from pi_system.train.spec import NetworkSpec

__all__ = ["DeepReShape"]

_HIGH, _LOW = "hrn-5x5x3x", "hrn-2x5x3x"
_REFERENCE_M = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepReShape:
    """A HybReNet whose ReLUs lie where they matter, designed for the budget in closed form."""

    REDUCES: ClassVar[str] = "ReLUs, by architecture: widths of stages, culling, thinning, reuse"
    SOURCE: ClassVar[str] = "Jha and Reagen, TMLR 2024, arXiv 2304.10593"

    base: str = option("", "Network without m, such as hrn-6x6x2x; empty chooses by the budget.")
    steps: str = option("", "cull (stage 1), thin, cull+thin or none; empty chooses by the budget.")
    stride: int = option(1, "Of the stem; 2 halves height and width of every feature map.")
    reuse: int = option(1, "Number of channel groups of which one keeps its ReLUs.")
    extra_epochs: int = option(0, "Trained from new weights, it needs more than a finetuning: so many epochs more.")
    learning_rate: float = option(0.1, "Of that training.")

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: even m = 1 is over the budget.
            ConfigError: an unknown network or step.
            Interrupted: stopped; the same task resumes.
        """
        spec, steps = self.design(task)
        network, fitted = train_new(
            task, spec, lambda built: self._prepare(built, steps), self.extra_epochs, self.learning_rate
        )
        report = {"base": spec.base, "m": spec.m, "steps": steps, "reuse": self.reuse, "stride": self.stride}
        return ReductionResult(spec=spec, network=network, fitted=fitted, report=report)

    def design(self, task: ReductionTask) -> tuple[NetworkSpec, str]:
        """Network and steps for the task's budget.

        Raises:
            ConfigError: see ``reduce``.
        """
        high = task.budget > ReluMap.of(task.network).size // 2
        steps = self.steps or ("none" if high else "cull+thin")
        if steps not in ("none", "cull", "thin", "cull+thin") or self.reuse < 1:
            raise ConfigError(
                f"steps, reuse: expected none, cull, thin or cull+thin, and at least 1; found {steps}, {self.reuse}"
            )
        base = replace(task.spec, base=self.base or (_HIGH if high else _LOW), depth="", stride=self.stride)
        m = task.budget * _REFERENCE_M // max(self._count(replace(base, m=_REFERENCE_M), steps), 1) + 1
        while m > 1 and self._count(replace(base, m=m), steps) > task.budget:
            m -= 1
        spec = replace(base, m=m)
        least = self._count(spec, steps)
        if least > task.budget:
            raise BudgetError(least, f"those of {spec} after {steps}", task.budget)
        return spec, steps

    def _count(self, spec: NetworkSpec, steps: str) -> int:
        relus = named_relus(build_network(spec, device="meta"))
        kept = [relus[name] for name in _configuration(relus, steps).layers(relus)]
        return sum(relu.size // relu.shape[0] * self._group(relu.shape[0]) for relu in kept)

    def _group(self, channels: int) -> int:
        return max(channels // self.reuse, 1)

    def _prepare(self, network: Classifier, steps: str) -> None:
        relus = named_relus(network)
        masks = {}
        for name, mask in _configuration(relus, steps).relu_map(network):
            last_group = torch.arange(mask.shape[0]) >= mask.shape[0] - self._group(mask.shape[0])
            masks[name] = mask & last_group[:, None, None]
        apply_masks(relus, masks)


def _configuration(relus: Mapping[str, MaskedReLU], steps: str) -> Configuration:
    stages = tuple(sorted({relu.stage for relu in relus.values()}))
    return Configuration(stages[1:] if "cull" in steps else stages, "thin" in steps)
