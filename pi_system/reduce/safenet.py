"""SAFENet: channel by channel a ReLU or a polynomial; layers differ in how many channels they give up.

1. Every channel's polynomial is fitted to the values in front of its ReLU (``polynomials``): of the degrees allowed the
lowest that fits. 2. Channels are ordered by importance, what their polynomials do to the loss (``channels``). 3. For
each layer the loss is measured with 1/8, 2/8, .. of its channels, least important first, given up; a knapsack over the
layers chooses how many, within the budget, with the least summed rise. What the eighths leave unused of the budget goes
back to the most important channels that still fit. With objective ``milliseconds`` the knapsack's costs are those of
the cost model, and its budget the largest whose choice has few enough ReLUs. 4. The polynomials fade in (``swap``), and
the network, their coefficients included, is retrained with distillation.

Source: ``SafeNet.SOURCE``; no public code was found. Verified, in its abstract: polynomials of
several degrees by channel, the most useful channels keep their ReLU, replacement ratios by layer. Not verified, our
choice: the fit, the importance, the knapsack in the place of its hyper-parameter search, the swap. Degree 3 is left
out: x^3 is a second multiplication after the first, a round trip more and a second rescaling.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pi_system.cost import activation_ms, default_calibration
from pi_system.errors import ConfigError
from pi_system.reduce.channels import ChannelStep, channel_importance, give_back, give_up, measure_steps
from pi_system.reduce.knapsack import choose
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.polynomials import lowest_degrees, measure_moments
from pi_system.reduce.presets import POLYNOMIALS, Preset
from pi_system.reduce.selection import check_reachable
from pi_system.reduce.swap import swap_and_finetune
from pi_system.train.mixed import DELPHI, mix, mixed_activations, square_count
from pi_system.train.relu import named_relus
from pi_system.train.relu_map import ReluMap

_HALVINGS = 20  # of the interval that the knapsack's budget in milliseconds lies in


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeNet:
    """SAFENet: channels become polynomials of degree 0, 1 or 2, with a ratio a layer."""

    REDUCES: ClassVar[str] = "ReLUs by channel, to polynomials of degree 0, 1 or 2"
    SOURCE: ClassVar[str] = "Lou, Shen, Jin, Jiang, ICLR 2021"
    DIFFERS: ClassVar[str] = (
        "no degree 3; polynomials fitted to each channel's values; ratios by a knapsack over measured losses, there by "
        "a hyper-parameter search; known from its abstract only"
    )

    PRESETS: ClassVar[Mapping[str, Preset]] = {"fast": POLYNOMIALS}

    degrees: str = option("0,1,2", "Degrees a channel's polynomial may have, with commas between them.")
    tolerance: float = option(
        0.1, "Share of a ReLU's energy that a polynomial of a lower degree may leave.", within="[0, 1]"
    )
    fit: bool = option(True, "Fit polynomials; false: Delphi's for degree 2, the identity for degree 1.")
    swap: float = option(0.25, "Share of the recipe's epochs in which the polynomials fade in.", within="[0, 1]")
    objective: str = option("relus", "Costs in the knapsack over layers.", choices=("relus", "milliseconds"))
    backend: str = option("gmw", "Whose milliseconds.", needs=("objective=milliseconds",))
    link: str = option("lan", "Over which link.", needs=("objective=milliseconds",))

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: not one channel is within the budget.
            ConfigError: no such degrees.
            DivergedError: the loss of the retraining is not finite.
            Interrupted: stopped; the same task resumes.
        """
        self._check()
        relus = {name: relu for name, relu in named_relus(task.network).items() if relu.active}
        check_reachable(relus, "channel", task.budget)
        student = copy.deepcopy(task.network).to(task.finetune.torch_device())
        degrees = self._put_polynomials(task, student, list(relus))
        costs = {name: relu.mask.cpu().flatten(1).sum(1) for name, relu in relus.items()}
        importance = channel_importance(task, student)
        order = {name: torch.argsort(importance[name] / costs[name].clamp(min=1), stable=True) for name in relus}
        steps = measure_steps(task, student, order, degrees)
        chosen = self._choose(task.budget, list(steps.values()))
        given_up = {name: steps[name][place].given_up for name, place in zip(steps, chosen, strict=True)}
        give_back(task.budget, costs, order, given_up)
        for name, layer in mixed_activations(student).items():
            places = torch.zeros(len(costs[name]), dtype=torch.bool)
            places[order[name][: given_up[name]]] = True
            give_up(layer, places, degrees[name])
        fitted = swap_and_finetune(task, student, task.finetune, self.swap)
        report = {
            "squares": square_count(student),
            "layers": ReluMap.of(student).counts,
            "given_up": {name: _degrees(degrees[name][order[name][: given_up[name]]]) for name in relus},
        }
        return ReductionResult(spec=task.spec, network=student, fitted=fitted, report=report)

    def _check(self) -> None:
        if not self._allowed() or (not self.fit and self._allowed() not in ((1,), (2,))):
            expected = "some of 0, 1 and 2, as '1,2'" if self.fit else "1 or 2 where nothing is fitted"
            raise ConfigError(f"degrees: expected {expected}; found {self.degrees!r}")

    def _allowed(self) -> tuple[int, ...]:
        parts = {part.strip() for part in self.degrees.split(",")}
        return tuple(sorted(map(int, parts))) if parts <= {"0", "1", "2"} else ()

    def _put_polynomials(self, task: ReductionTask, student: nn.Module, layers: Sequence[str]) -> dict[str, Tensor]:
        """Put a mixed layer that has every channel's polynomial in the place of each ReLU layer; degrees, by layer."""
        moments = measure_moments(task) if self.fit else {}
        degrees = {}
        for name in layers:
            layer = mix(student, name)
            if self.fit:
                degrees[name], coefficients = lowest_degrees(moments[name], self._allowed(), self.tolerance)
            else:
                (degree,) = self._allowed()
                degrees[name] = torch.full((layer.shape[0],), degree)
                coefficients = torch.tensor(DELPHI if degree == 2 else (0.0, 1.0, 0.0)).repeat(layer.shape[0], 1)
            with torch.no_grad():
                layer.coefficients.copy_(coefficients)
        return degrees

    def _choose(self, budget: int, layers: Sequence[Sequence[ChannelStep]]) -> list[int]:
        """Which step to take of each layer."""
        if self.objective == "relus":
            return choose([[(step.relus, -step.loss) for step in steps] for steps in layers], budget) or []
        options = [[(self._milliseconds(step), -step.loss) for step in steps] for steps in layers]
        best = [len(steps) - 1 for steps in layers]
        low, high = 0.0, sum(max(cost for cost, _ in group) for group in options)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            found = choose(options, middle)
            fits = not found or sum(steps[i].relus for steps, i in zip(layers, found, strict=True)) <= budget
            low, high = (middle, high) if fits else (low, middle)
            best = found if fits and found else best
        return best

    def _milliseconds(self, step: ChannelStep) -> float:
        prices = default_calibration()
        relus = activation_ms("relu", step.relus, self.backend, self.link, prices)
        return relus + activation_ms("square", step.squares, self.backend, self.link, prices)


def _degrees(degrees: Tensor) -> Mapping[str, Any]:
    """Channels given up, by degree."""
    return {str(degree): int((degrees == degree).sum()) for degree in range(3)}
