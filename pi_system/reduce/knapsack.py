"""One option a group, so that costs stay within a budget and the sum of gains is largest: a multiple-choice knapsack.

Dynamic programming over the Pareto set of (cost, gain), group by group. Where that set grows beyond ``_STATES`` points,
only the best of each of so many equal intervals of cost stays: what is found is always within the budget, and then
possibly not quite the best.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_STATES = 4096


def choose(options: Sequence[Sequence[tuple[float, float]]], budget: float) -> list[int] | None:
    """The option to take of every group.

    Args:
        options: (cost, gain) of the options of each group; costs are at least 0, gains any.
        budget: the largest sum of costs.

    Returns:
        An index a group, or None if not even the cheapest options fit.
    """
    cost, gain = np.zeros(1), np.zeros(1)
    steps: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for group in options:
        costs, gains = (np.array(column, dtype=np.float64) for column in zip(*group, strict=True))
        cost, gain = (cost[:, None] + costs).ravel(), (gain[:, None] + gains).ravel()
        kept = _pareto(cost, gain, budget)
        if not len(kept):
            return None
        steps.append((kept // len(group), kept % len(group)))
        cost, gain = cost[kept], gain[kept]
    place, chosen = int(np.argmax(gain)), []
    for before, option in reversed(steps):
        chosen.append(int(option[place]))
        place = int(before[place])
    return chosen[::-1]


def _pareto(cost: NDArray[np.float64], gain: NDArray[np.float64], budget: float) -> NDArray[np.int64]:
    """Indices of the points within the budget that no cheaper one equals, by cost; see the module's text."""
    order: NDArray[np.int64] = np.lexsort((-gain, cost)).astype(np.int64)
    order = order[cost[order] <= budget]
    if not len(order):
        return order
    best = np.maximum.accumulate(gain[order])
    order = order[np.concatenate([[True], best[1:] > best[:-1]])]
    if len(order) > _STATES:
        place = np.floor(cost[order] * (_STATES / budget))
        order = order[np.concatenate([place[1:] > place[:-1], [True]])]
    return order
