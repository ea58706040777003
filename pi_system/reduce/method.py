"""What every reduction method takes and gives: a trained network and a ReLU budget, for a ReLU map.

Methods are frozen dataclasses whose fields are their own options (``options``), so that the command line can name
and explain any of them; what all share is in the task.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pi_system.errors import ConfigError
from pi_system.train.config import TrainConfig
from pi_system.train.data import DataSet
from pi_system.train.loop import FitResult, History
from pi_system.train.networks import Classifier
from pi_system.train.relu_map import ReluMap
from pi_system.train.spec import NetworkSpec


def ignore_history(_history: History) -> None:
    """Record nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReductionTask:
    """The network to reduce, which is also the teacher, and what to reduce it to.

    ``budget`` is the largest number of ReLUs allowed. ``finetune`` is the recipe of every training a method
    does. ``workdir`` holds what is needed to resume; None keeps everything in memory. ``on_epoch`` is called
    with the history of the current training after each of its epochs.

    Raises:
        ConfigError: the budget is negative or not below the network's present count.
    """

    spec: NetworkSpec
    network: Classifier
    data: DataSet
    budget: int
    finetune: TrainConfig
    workdir: Path | None = None
    on_epoch: Callable[[History], None] = ignore_history
    progress: bool = False

    def __post_init__(self) -> None:
        """Check the budget."""
        present = ReluMap.of(self.network).count
        if not 0 <= self.budget < present:
            raise ConfigError(
                f"budget: expected at least 1 and below the network's {present} ReLUs; found {self.budget}"
                + (" (the network is within it as it is)" if self.budget >= present else "")
            )

    def checkpoint(self, name: str) -> Path | None:
        """File for one training of the method to resume from."""
        return None if self.workdir is None else self.workdir / f"{name}.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReductionResult:
    """The finetuned network with its map applied; ``spec`` differs from the task's where a method rebuilds.

    ``report`` says what was measured and chosen, ready for JSON. ``narrower`` has further networks that came out of
    the same training, by name, with their maps applied.
    """

    spec: NetworkSpec
    network: Classifier
    fitted: FitResult
    report: dict[str, Any]
    narrower: Mapping[str, tuple[NetworkSpec, Classifier]] = field(default_factory=dict)

    @property
    def relu_map(self) -> ReluMap:
        """The network's map."""
        return ReluMap.of(self.network)


class ReductionMethod(Protocol):
    """Network and budget in, ReLU map (and, for some methods, a new architecture) out.

    The first line of the class's docstring is its summary, ``REDUCES`` says what gets less, and by which unit,
    ``SOURCE`` the paper: authors, venue, identifier, section; where there is one, ``DIFFERS`` says what is done
    otherwise. ``SMALLER`` names an option that brings smaller budgets into reach, with what it does, and the options
    that it does not go with. A control with ``KEEPS_RELUS`` keeps all ReLUs, and says what it makes of the budget.
    """

    REDUCES: ClassVar[str]
    SOURCE: ClassVar[str]

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """Reduce the ReLUs to at most the task's budget; the task's network is not changed.

        Raises:
            BudgetError: the method cannot reach the budget; it says the least it can.
            ConfigError: an option does not fit the network.
            Interrupted: stopped; the same task resumes from its work directory.
        """
        ...
