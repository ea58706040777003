"""From scores to a ReLU map that is within a budget, exactly where the granularity allows it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pi_system.errors import BudgetError
from pi_system.reduce.indicators import indicator_shape
from pi_system.train.relu import MaskedReLU


def select_best(scores: Mapping[str, Tensor], allowed: Mapping[str, Tensor], budget: int) -> dict[str, Tensor]:
    """Keep the positions with the highest scores.

    Single positions fill the budget exactly. Larger entries (channels, layers) are taken in the order of their
    scores where they still fit, so the count is at most the budget, and less than the smallest entry left out
    below it.

    Args:
        scores: float tensor for each layer that broadcasts to the layer's (C, H, W); an entry is kept as a whole.
        allowed: bool (C, H, W) of each layer; other positions are never taken, and cost nothing.
        budget: the largest number of positions.

    Returns:
        Bool (C, H, W) for each layer.
    """
    costs = {name: allowed[name].float().sum_to_size(score.shape).flatten() for name, score in scores.items()}
    cost = torch.cat(list(costs.values()))
    value = torch.cat([score.flatten().float() for score in scores.values()])
    sizes = [score.numel() for score in scores.values()]
    parts = torch.split(_take(value, cost, budget), sizes)
    return {name: part.reshape(scores[name].shape) & allowed[name] for name, part in zip(scores, parts, strict=True)}


def _take(value: Tensor, cost: Tensor, budget: int) -> Tensor:
    """Entries to take, bool; those without cost are left."""
    chosen = torch.zeros(len(value), dtype=torch.bool, device=value.device)
    useful = (cost > 0).nonzero()[:, 0]
    if bool((cost <= 1).all()):
        best = torch.topk(value[useful], min(budget, len(useful))).indices
        chosen[useful[best]] = True
        return chosen
    order = useful[torch.argsort(value[useful], descending=True, stable=True)]
    left, taken = budget, []
    for index, price in zip(order.tolist(), cost[order].int().tolist(), strict=True):
        if price <= left:
            taken.append(index)
            left -= price
    chosen[taken] = True
    return chosen


def select_in_layers(
    scores: Mapping[str, Tensor], allowed: Mapping[str, Tensor], budgets: Mapping[str, int]
) -> dict[str, Tensor]:
    """Keep the best of each layer within that layer's own budget."""
    kept: dict[str, Tensor] = {}
    for name, score in scores.items():
        kept |= select_best({name: score}, {name: allowed[name]}, budgets[name])
    return kept


def check_reachable(relus: Mapping[str, MaskedReLU], granularity: str, budget: int) -> None:
    """Refuse a budget that not even the cheapest entry fits, so that a network without any ReLU is not an accident.

    Raises:
        BudgetError: naming the least budget.
        ConfigError: unknown granularity.
    """
    costs = [relu.mask.float().sum_to_size(indicator_shape(relu, granularity)) for relu in relus.values()]
    cheapest = [int(cost[cost > 0].min()) for cost in costs if cost.any()]
    if min(cheapest) > budget:
        raise BudgetError(min(cheapest), "the smallest unit of this granularity", budget)
