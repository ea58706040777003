"""Optimizer and learning rates of a recipe, as torch has them.

The rates of all steps are worked out once, in a list, by torch's own schedulers on a stand-in: so the rate is a
function of the step, and a resumed run needs no scheduler's state.
"""

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler

from pi_system.train.config import TrainConfig

_START = 1e-3
"""Share of the learning rate at which a warm-up begins: torch refuses 0."""


def make_optimizer(network: nn.Module, config: TrainConfig) -> Optimizer:
    """SGD or Adam over all parameters; with ``decay`` weights, vectors (biases, batch normalisation) do not decay."""
    parameters = list(network.parameters())
    groups = [{"params": parameters}]
    if config.decay == "weights":
        vectors = [p for p in parameters if p.dim() < 2]
        groups = [
            {"params": [p for p in parameters if p.dim() >= 2]},
            {"params": vectors, "weight_decay": 0.0},  # type: ignore[dict-item]
        ]
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=config.learning_rate, weight_decay=config.weight_decay, foreach=True)
    return torch.optim.SGD(
        groups,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.nesterov and config.momentum > 0,
        foreach=True,
    )


def learning_rates(config: TrainConfig, steps: int) -> list[float]:
    """The learning rate of each of a run's steps."""
    warm = round(config.warmup * steps)
    if steps < 2 or (config.schedule == "constant" and not warm):
        return [config.learning_rate] * steps
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=config.learning_rate)
    scheduler = _scheduler(optimizer, config, steps, warm)
    optimizer.step()  # or the scheduler warns
    rates = []
    for step in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        if step < steps - 1:
            scheduler.step()
    return rates


def _scheduler(optimizer: Optimizer, config: TrainConfig, steps: int, warm: int) -> lr_scheduler.LRScheduler:
    if config.schedule == "onecycle":
        # Rising over fewer than two steps divides by zero.
        rising = max(config.warmup, min(1.0, 2 / steps))
        return lr_scheduler.OneCycleLR(
            optimizer, config.learning_rate, total_steps=steps, pct_start=rising, cycle_momentum=False
        )
    if not warm:
        return _after(optimizer, config, steps, 0)
    # First: what comes after sees the full rate before the warm-up scales it.
    after = _after(optimizer, config, steps, warm)
    warming = lr_scheduler.LinearLR(optimizer, start_factor=_START, total_iters=warm)
    return lr_scheduler.SequentialLR(optimizer, [warming, after], milestones=[warm])


def _after(optimizer: Optimizer, config: TrainConfig, steps: int, warm: int) -> lr_scheduler.LRScheduler:
    if config.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, max(steps - warm, 1))
    milestones = [round(share * steps) - warm for share in config.milestones]
    return lr_scheduler.MultiStepLR(optimizer, milestones if config.schedule == "multistep" else [], config.drop)
