"""From ReLUs to the polynomials of mixed activations, gradually: y = (1 - r) p(x) + r ReLU(x), r from 1 to 0.

Polynomials turn a large value into a much larger one, so gradients are clipped by value while they are trained.

Source: Mishra et al., eprint 2020/050 (Delphi); mc2-project/delphi, python/resnet: r falls linearly, over 100 epochs
there; gradients clipped by value 2.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, Literal

import torch
from torch import nn

from pi_system.reduce.method import ReductionTask
from pi_system.reduce.sensitivity import sample_batches
from pi_system.reduce.training import split_epochs, train_student
from pi_system.train.config import TrainConfig
from pi_system.train.evaluate import evaluate
from pi_system.train.loop import Companion, FitResult
from pi_system.train.mixed import mixed_activations
from pi_system.train.parallel import from_first

CLIP_VALUE: Final = 2.0


class _Swap(Companion):
    """The companion of a swap: r is what is left of the training. It is in the layers' buffers."""

    def __init__(self, network: nn.Module) -> None:
        self._layers = list(mixed_activations(network).values())

    def set(self, r: float) -> None:
        """Let every polynomial be r ReLU."""
        for layer in self._layers:
            layer.swap.fill_(r)

    def after_step(self, done: int, steps: int) -> None:
        """Less ReLU with every step, none after the last."""
        self.set(1 - done / steps)


@contextmanager
def clipped_gradients(network: nn.Module) -> Iterator[None]:
    """Clip every gradient to [-CLIP_VALUE, CLIP_VALUE], element by element."""
    hooks = [
        parameter.register_hook(lambda gradient: gradient.clamp(-CLIP_VALUE, CLIP_VALUE))  # type: ignore[no-untyped-call]
        for parameter in network.parameters()
        if parameter.requires_grad
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def train_clipped(
    task: ReductionTask,
    network: nn.Module,
    config: TrainConfig,
    label: str,
    *,
    companion: Companion | None = None,
    keep: Literal["best", "last"] = "best",
) -> FitResult:
    """``train_student`` with clipped gradients, and then ``settle``; the validation is of the network as it is then.

    Raises:
        DivergedError: the loss is no longer finite.
        Interrupted: stopped; the same call resumes.
    """
    with clipped_gradients(network):
        fitted = train_student(task, network, config, label, companion=companion, keep=keep)
    settle(task, network)
    return replace(fitted, validation=from_first(evaluate(network, task.data.validation, task.data.preprocess)))


def settle(task: ReductionTask, network: nn.Module) -> None:
    """Take every batch normalisation's statistics anew, as averages over some training pictures.

    Running averages lag behind the weights. With ReLUs that costs little; a polynomial makes more of every deviation,
    layer by layer, until values overflow. Source: Wu and Johnson, 2021, arXiv 2105.07576 ("precise BN").
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches below
    network.train()
    with torch.no_grad():
        for x, _ in sample_batches(network, task):
            network(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def swap_in(task: ReductionTask, network: nn.Module, config: TrainConfig, label: str) -> FitResult:
    """Train while the polynomials of the network's mixed activations take the ReLUs' place; see ``train_clipped``.

    Raises:
        DivergedError: the loss is no longer finite.
        Interrupted: stopped; the same call resumes.
    """
    swap = _Swap(network)
    swap.set(0.0 if config.epochs == 0 else 1.0)
    return train_clipped(task, network, config, label, companion=swap, keep="last")


def swap_and_finetune(task: ReductionTask, network: nn.Module, config: TrainConfig, share: float) -> FitResult:
    """Swap in the first ``share`` of the epochs, then finetune; only epochs after the swap are ever chosen.

    Raises:
        ConfigError: the share is not from 0 to 1.
        DivergedError: the loss is no longer finite.
        Interrupted: stopped; the same call resumes.
    """
    swap, finetune = split_epochs(replace(task, finetune=config), share)
    swap_in(task, network, swap, "swap")
    return train_clipped(task, network, finetune, "finetune")
