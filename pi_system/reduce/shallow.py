"""Shallow networks: a ReLU goes together with a convolution, so ReLUs, rounds and multiply-accumulates all fall.

Where the ReLU between two convolutions goes, the two are one linear map, and one convolution of the size of the
first takes their place: the exact product of two 3x3 kernels is a 5x5 one with more multiply-accumulates, so the
3x3 kernel is learned. It starts as the middle of the exact product (batch normalisation folded in), and the new
network is trained with distillation from the old one. A block whose ReLUs are all gone is left out.

1. Sensitivity of each ReLU layer: rise of the loss when the trained network loses it. 2. Of all numbers of ReLU
layers a stage, the choice within the budget with the highest summed sensitivity (a stage keeps its most sensitive
ones). 3. k ReLU layers in a stage of n blocks become k blocks of one convolution, or, where k > n, k - n whole
blocks and 2n - k of one. A stage without any ReLU, unless the first, keeps one linear block for its new size.

Source: "Making Models Shallow Again" (``Shallow.SOURCE``); no public code. Verified: layers
chosen by ReLU sensitivity, the convolutions around a dropped ReLU merged, joint gain in ReLUs and linear
operations. Not verified, our choice: the sensitivity measure, the choice by summed sensitivity, leaving out whole
blocks, and training the shallow network directly, where the paper trains a gate between two branches.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import ClassVar

import torch
from torch import nn

from pi_system.errors import BudgetError, ConfigError
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.sensitivity import loss_of_layers
from pi_system.reduce.shallow_weights import inherit_weights
from pi_system.reduce.training import apply_masks, train_student
from pi_system.train.networks import build_network
from pi_system.train.relu import MaskedReLU, named_relus
from pi_system.train.spec import NetworkSpec

__all__ = ["Shallow", "stage_digits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shallow:
    """ReLUs and depth together: the convolutions around a dropped ReLU become one."""

    REDUCES: ClassVar[str] = "ReLU layers, convolutions and multiply-accumulates"
    SOURCE: ClassVar[str] = "Kundu et al., CVPRW 2023, arXiv 2304.13274"

    extra_epochs: int = option(0, "Epochs beyond the recipe's, for the new convolutions.")

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: its smallest ReLU layer is over the budget.
            ConfigError: the network is of bottleneck blocks, or has no blocks or ReLUs left to take.
            Interrupted: stopped; the same task resumes.
        """
        _check(task)
        sensitivity = loss_of_layers(task)
        kept = _choose(task, sensitivity)
        spec = _shallow_spec(task.spec, kept)
        network = build_network(spec, seed=task.finetune.seed)
        _drop_relus(network, kept)
        inherit_weights(task.network, network)
        config = replace(task.finetune, epochs=task.finetune.epochs + self.extra_epochs)
        fitted = train_student(task, network, config, "finetune")
        report = {"sensitivity": sensitivity, "relu_layers_kept": {str(stage): count for stage, count in kept.items()}}
        return ReductionResult(spec=spec, network=network, fitted=fitted, report=report)


def _check(task: ReductionTask) -> None:
    relus = named_relus(task.network).values()
    whole = all(relu.active == relu.size for relu in relus)
    if task.spec.kind == "bottleneck" or task.spec.depth or not whole:
        raise ConfigError(
            "shallow: expected a network of basic blocks or VGG's convolutions, with all its blocks and ReLUs; "
            f"found {task.spec}" + ("" if whole else " with a reduced ReLU map")
        )


def stage_digits(kind: str, blocks: int, relu_layers: int, stage: int) -> str:
    """Digits of a stage (see ``NetworkSpec``) of so many blocks when so many of its ReLU layers are kept."""
    if relu_layers == 0:
        return "0" * blocks if stage == 1 else "1" + "0" * (blocks - 1)
    whole = max(relu_layers - blocks, 0) if kind != "vgg" else 0
    single = relu_layers - 2 * whole
    return "2" * whole + "1" * single + "0" * (blocks - whole - single)


def _layers(network: nn.Module) -> dict[int, list[tuple[str, MaskedReLU]]]:
    """ReLU layers by stage; the stem is stage 0."""
    found: dict[int, list[tuple[str, MaskedReLU]]] = {}
    for name, relu in named_relus(network).items():
        found.setdefault(0 if relu.block < 0 else relu.stage, []).append((name, relu))
    return found


def _choose(task: ReductionTask, sensitivity: Mapping[str, float]) -> dict[int, int]:
    """ReLU layers to keep in each stage; stage 0 is the stem."""
    layers = _layers(task.network)
    worth, cost = {}, {}
    for stage, entries in layers.items():
        ranked = sorted((sensitivity[name] for name, _ in entries), reverse=True)
        for count in range(len(entries) + 1):
            worth[stage, count] = sum(ranked[:count])
            cost[stage, count] = _stage_relus(task.spec, stage, count)
    choices = [
        dict(zip(layers, counts, strict=True)) for counts in product(*(range(len(e) + 1) for e in layers.values()))
    ]
    totals = [sum(cost[place] for place in choice.items()) for choice in choices]
    fitting = [choice for choice, total in zip(choices, totals, strict=True) if 0 < total <= task.budget]
    if not fitting:
        least = min(total for total in totals if total)
        raise BudgetError(least, "the smallest ReLU layer", task.budget)
    return max(fitting, key=lambda choice: sum(worth[place] for place in choice.items()))


@lru_cache(maxsize=1024)
def _stage_relus(spec: NetworkSpec, stage: int, count: int) -> int:
    """ReLUs of a stage with ``count`` ReLU layers, the other stages being whole."""
    if count == 0:
        return 0
    if stage > 0:
        digits = list(spec.full_depth)
        digits[stage - 1] = stage_digits(spec.kind, spec.blocks[stage - 1], count, stage)
        spec = replace(spec, depth="-".join(digits))
    return sum(relu.size for _, relu in _layers(build_network(spec, device="meta"))[stage])


def _shallow_spec(spec: NetworkSpec, kept: Mapping[int, int]) -> NetworkSpec:
    digits = [stage_digits(spec.kind, n, kept[stage], stage) for stage, n in enumerate(spec.blocks, start=1)]
    return replace(spec, depth="-".join(digits))


def _drop_relus(network: nn.Module, kept: Mapping[int, int]) -> None:
    """Turn off the ReLUs of stages (and a stem) that keep none but are still there for their shape."""
    relus = {name: (stage, relu) for stage, entries in _layers(network).items() for name, relu in entries}
    masks = {name: torch.full(relu.shape, kept[stage] > 0) for name, (stage, relu) in relus.items()}
    apply_masks({name: relu for name, (_, relu) in relus.items()}, masks)
