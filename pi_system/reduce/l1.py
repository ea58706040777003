"""L1 filter pruning: the filters with the smallest sum of absolute weights go, and with them ReLUs and MACs.

The paper prunes the first convolution of a residual block alone (``where=inner``), at one rate a stage, and leaves
layers out that are sensitive. The ReLUs after the additions then stay, so only part of the range of budgets can be
reached. By default residual streams are narrowed too, by the summed score of all filters that write a channel.
The narrower network is finetuned with distillation from the network it came from; the paper finetunes 40 epochs at a
learning rate of 1e-3, without distillation.

Source: ``L1Filters.SOURCE``; checked against the code of Liu et al., ICLR 2019, arXiv 1810.05270 (ResNet-56 A: 10 % of
every inner layer but those of convolutions 16, 20, 38 and 54; B: 60, 30 and 10 % by stage, leaving out 16, 18, 20, 34,
38 and 54). Not in the paper, our choice: the ratio that follows from a ReLU budget, and narrowing streams.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from pi_system.errors import ConfigError
from pi_system.reduce.filters import Pruning, narrowed, ranking
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.presets import Preset
from pi_system.reduce.training import train_student
from pi_system.train.channels import Channels, channels_of
from pi_system.train.relu import named_relus
from pi_system.train.relu_map import ReluMap

WHERE = ("all", "inner")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterOptions:
    """Which filters may go."""

    where: str = option("all", "Groups of channels to narrow; inner: none that an addition writes.", choices=WHERE)
    ratios: str = option("", "Rates by stage relative to each other, as 60,30,10; one rate for all if left out.")
    skip: str = option("", "Module paths of convolutions whose filters all stay, with commas between them.")


@dataclass(frozen=True, slots=True, kw_only=True)
class L1Filters(FilterOptions):
    """L1 filter pruning: channels whose filters have the smallest sum of absolute weights go."""

    REDUCES: ClassVar[str] = "channels, inside blocks and of residual streams"
    SOURCE: ClassVar[str] = "Li, Kadav, Durdanovic, Samet, Graf, ICLR 2017, arXiv 1608.08710"
    DIFFERS: ClassVar[str] = (
        "one ratio follows from the ReLU budget; residual streams are narrowed too, by summed scores "
        "(`where=inner` is the paper's); finetuned with distillation, unless by the preset"
    )

    PRESETS: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(
            recipe={
                "epochs": 40,
                "batch_size": 64,
                "learning_rate": 1e-3,
                "weight_decay": 1e-4,
                "schedule": "constant",
                "nesterov": False,
                "distill_weight": 0.0,
            },
            options={"where": "inner"},
        )
    }

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: what stays whole, and one channel of everything else, is over the budget.
            ConfigError: options that do not fit the network.
            Interrupted: stopped; the same task resumes.
        """
        channels = channels_of(task.network)
        rankings = [ranking(task.network, group, "l1") for group in channels.groups]
        shares = shares_of(task, channels, self.where, self.ratios, self.skip)
        pruning = Pruning.of(task.network, channels, rankings, shares)
        ratio = pruning.ratio(task.budget)
        spec, student = narrowed(task, channels, pruning.kept(pruning.sizes(ratio)))
        fitted = train_student(task, student, task.finetune, "finetune")
        report = {"where": self.where, **report_of(pruning, ratio), "layers": ReluMap.of(student).counts}
        return ReductionResult(spec=spec, network=student, fitted=fitted, report=report)


def report_of(pruning: Pruning, ratio: float) -> dict[str, object]:
    """The ratio, and filters kept and there before, by the first layer that writes them."""
    sizes = zip(pruning.channels.groups, pruning.sizes(ratio), strict=True)
    return {"ratio": ratio, "filters": {group.writers[0]: [size, group.size] for group, size in sizes}}


def shares_of(task: ReductionTask, channels: Channels, where: str, ratios: str, skip: str) -> list[float]:
    """How much of the ratio applies to each group of channels, from 0 to 1.

    Raises:
        ConfigError: an unknown ``where``, rates that are not one for each stage, or unknown layers.
    """
    if where not in WHERE:
        raise ConfigError(f"where: expected {' or '.join(WHERE)}; found {where!r}")
    named = {part.strip() for part in skip.split(",") if part.strip()}
    if unknown := named - channels.writes.keys():
        raise ConfigError(f"skip: expected some of {', '.join(channels.writes)}; found {', '.join(sorted(unknown))}")
    relus = named_relus(task.network)
    stages = sorted({relu.stage for relu in relus.values()})
    rates = _rates(ratios, stages)
    shares, stage = [], stages[0]
    for group in channels.groups:
        stage = relus[group.relus[0]].stage if group.relus else stage
        whole = (where == "inner" and not group.inner) or not named.isdisjoint(group.writers)
        shares.append(0.0 if whole else rates[stage])
    return shares


def _rates(text: str, stages: list[int]) -> dict[int, float]:
    if not text:
        return dict.fromkeys(stages, 1.0)
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != len(stages) or not all(map(isfinite, values)) or min(values) < 0 or max(values) <= 0:
        raise ConfigError(f"ratios: expected a rate for each of {len(stages)} stages, as 60,30,10; found {text!r}")
    return {stage: value / max(values) for stage, value in zip(stages, values, strict=True)}
