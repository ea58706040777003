"""Tasks of reductions, and reductions that are killed after each of their epochs, and go on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pi_system.reduce import ReductionMethod, ReductionResult, ReductionTask
from pi_system.train import Interrupted

MakeTask = Callable[..., ReductionTask]
"""Of the fixture ``make_task``: from budget, network, data, epochs and further fields of a task."""


def killed_after_every_epoch(method: ReductionMethod, task: ReductionTask) -> tuple[ReductionResult, list[Any]]:
    """The result, and the epochs in order, each of them trained once; ``task`` has a work directory."""
    seen: list[Any] = []

    def kill(history: Any) -> None:
        seen.append((history[-1]["phase"], history[-1]["epoch"]))
        raise Interrupted("killed")

    while True:
        try:
            return method.reduce(replace(task, on_epoch=kill)), seen
        except Interrupted:
            assert len(seen) == len(set(seen)), "an epoch was trained twice"
