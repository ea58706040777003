"""The two trainings most methods consist of: a search with indicators, and the finetuning of what it found."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

from torch import Tensor, nn

from pi_system.errors import ConfigError
from pi_system.reduce.indicators import Indicator
from pi_system.reduce.method import ReductionTask
from pi_system.train.config import TrainConfig
from pi_system.train.loop import Companion, FitResult, fit
from pi_system.train.mixed import mixed_activations
from pi_system.train.networks import Classifier, build_network
from pi_system.train.relu import MaskedReLU, named_relus
from pi_system.train.spec import NetworkSpec

_Indicator = TypeVar("_Indicator", bound=Indicator)


def split_epochs(task: ReductionTask, share: float) -> tuple[TrainConfig, TrainConfig]:
    """Recipes of search and finetuning, which together have the epochs of the task's recipe.

    Each has at least one epoch where the recipe has two, but for a share of 0: that is no search.

    Raises:
        ConfigError: the share is not from 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"search: expected a share from 0 to 1; found {share}")
    epochs = task.finetune.epochs
    search = min(max(round(share * epochs), 1), max(epochs - 1, 1)) if epochs and share else 0
    return replace(task.finetune, epochs=search), replace(task.finetune, epochs=max(epochs - search, 0))


def train_student(
    task: ReductionTask,
    student: nn.Module,
    config: TrainConfig,
    label: str,
    *,
    companion: Companion | None = None,
    keep: Literal["best", "last"] = "best",
    teacher: nn.Module | None = None,
) -> FitResult:
    """Train with distillation from the task's network; resumes from the checkpoint of its label.

    Raises:
        Interrupted: stopped; what was done is in the checkpoint, if the task has a work directory.
    """
    return fit(
        student,
        task.data,
        config,
        teacher=copy.deepcopy(task.network) if teacher is None else teacher,
        checkpoint=task.checkpoint(label),
        label=label,
        on_epoch=task.on_epoch,
        progress=task.progress,
        companion=companion,
        keep=keep,
    )


def refuse_mixed(network: nn.Module) -> None:
    """Raise ConfigError if the network has mixed activations: what is asked for knows ReLUs and identities alone."""
    if mixed := list(mixed_activations(network)):
        raise ConfigError(
            f"network: expected ReLUs and identities alone; found mixed activations in {mixed[0]}; delphi and l1 take "
            "them, or reduce the network that it was made of"
        )


def insert_indicators(network: nn.Module, make: Callable[..., _Indicator], *settings: Any) -> dict[str, _Indicator]:
    """Put an indicator in the place of every ReLU, by module path in the order of execution.

    Raises:
        ConfigError: the network has mixed activations, which an indicator would not compute.
    """
    refuse_mixed(network)
    indicators: dict[str, _Indicator] = {}
    for name, relu in named_relus(network).items():
        indicators[name] = make(relu, *settings)
        network.set_submodule(name, indicators[name])
    return indicators


def remove_indicators(network: nn.Module, indicators: Mapping[str, Indicator], masks: Mapping[str, Tensor]) -> None:
    """Put the ReLUs back, with these masks."""
    for name, indicator in indicators.items():
        network.set_submodule(name, indicator.relu)
    apply_masks({name: indicator.relu for name, indicator in indicators.items()}, masks)


def apply_masks(relus: Mapping[str, MaskedReLU], masks: Mapping[str, Tensor]) -> None:
    """Set the mask of every ReLU, bool (C, H, W)."""
    for name, relu in relus.items():
        relu.set_mask(masks[name])


def relus_of(spec: NetworkSpec) -> int:
    """ReLUs of the network a spec names, without building its weights."""
    return sum(relu.active for relu in named_relus(build_network(spec, device="meta")).values())


def searched_spec(task: ReductionTask, base: str, m: int, arch: str) -> NetworkSpec:
    """A network of ``base`` for the task's pictures and classes, with the stride of its stem."""
    like = task.spec
    return NetworkSpec(
        base=base,
        m=m,
        arch=arch,
        classes=like.classes,
        size=like.size,
        channels=like.channels,
        stride=like.stride,
    )


def train_new(
    task: ReductionTask,
    spec: NetworkSpec,
    prepare: Callable[[Classifier], None] | None,
    extra_epochs: int,
    learning_rate: float,
) -> tuple[Classifier, FitResult]:
    """Build a network and train it from new weights, with distillation from the task's.

    Args:
        task: gives recipe and teacher.
        spec: what to build; the recipe's seed draws the weights.
        prepare: sets masks or weights before the training.
        extra_epochs: epochs beyond the recipe's, for a start from nothing.
        learning_rate: instead of the recipe's.

    Raises:
        Interrupted: stopped; the same call resumes.
    """
    network = build_network(spec, seed=task.finetune.seed)
    if prepare is not None:
        prepare(network)
    config = replace(task.finetune, epochs=task.finetune.epochs + extra_epochs, learning_rate=learning_rate)
    return network, train_student(task, network, config, "finetune")
