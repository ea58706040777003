"""DeepReShape: a HybReNet whose ReLUs lie where they matter, sized to the budget without any search.

By the budget's share of the source's ReLUs: above a half the network is the HybReNet ``5x5x3x`` with all its
ReLUs (wide networks do best at high counts); up to a half it is ``2x5x3x`` with stage 1 culled and one ReLU layer
a block left (thinning). ReLU counts are proportional to m, so m follows from the budget by a division; it is
trained from new weights with distillation. Where the former would need a width below ``least_width``, too narrow to be
of use, the latter is taken; a budget for which that is so, too, is refused with the least that it reaches. Options
replace any of these choices; ``stride`` 2 halves the feature maps, and ``reuse`` N keeps the ReLUs of one of N groups
of channels, by ``wiring``:

- ``add``: the other groups reuse what that group gives (``train/reuse``);
- ``pass``: the other groups pass on what they have, a mask and nothing more.

The control, a network from which the other groups' channels are dropped, is ``reuse`` 1: at the same budget its m is an
Nth. Streams with channels that no ReLU bounds want a smaller ``learning_rate``: on the digits 0.1 was too high for both
wirings, and at 0.02 all three were equal within what two seeds tell.

Source: ``DeepReShape.SOURCE``. Verified: equalization (see ``equalization``), the two tendencies, the combination with
DeepReDuce's steps and ReLU reuse. Not verified, our choice: the switch at a half, which HybReNet stands for which
regime, and how exactly groups reuse the activated one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from pi_system.errors import BudgetError, ConfigError
from pi_system.reduce.configurations import Configuration
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import epochs_of_new_weights, option, rate_of_new_weights
from pi_system.reduce.presets import Preset
from pi_system.reduce.training import train_new
from pi_system.train.networks import Classifier, build_network
from pi_system.train.relu import MaskedReLU, named_relus
from pi_system.train.relu_map import ReluMap
from pi_system.train.reuse import group_mask
from pi_system.train.spec import NetworkSpec

_HIGH, _LOW = "hrn-5x5x3x", "hrn-2x5x3x"
_REFERENCE_M = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepReShape:
    """A HybReNet whose ReLUs lie where they matter, designed for the budget in closed form."""

    REDUCES: ClassVar[str] = "ReLUs, by architecture: widths of stages, culling, thinning, reuse"
    SOURCE: ClassVar[str] = "Jha and Reagen, TMLR 2024, arXiv 2304.10593"
    DIFFERS: ClassVar[str] = (
        "where the regimes change, which HybReNet stands for which, and that ReLU reuse adds the activated "
        "group to the others are our choice"
    )

    PRESETS: ClassVar[dict[str, Preset]] = {
        # From memory, not verified: 200 epochs, cosine, batch 128, distillation at T = 4.
        "paper": Preset(recipe={"epochs": 200, "batch_size": 128, "learning_rate": 0.1}),
    }

    base: str = option("", "Network without m, such as hrn-6x6x2x; empty chooses by the budget.")
    steps: str = option("", "cull (stage 1), thin, cull+thin or none; empty chooses by the budget.")
    stride: int = option(1, "Of the stem; 2 halves height and width of every feature map.", within="[1, 4]")
    reuse: int = option(1, "Number of channel groups of which one keeps its ReLUs.", within="[1, 64]")
    wiring: str = option(
        "add", "What the other groups do: reuse that one, or pass on.", choices=("add", "pass"), needs=("reuse",)
    )
    least_width: int = option(4, "Narrowest m that is a useful network.", within="[1, inf)")
    extra_epochs: int = epochs_of_new_weights()
    learning_rate: float = rate_of_new_weights()

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: even m = ``least_width`` is over the budget.
            ConfigError: an unknown network or step.
            Interrupted: stopped; the same task resumes.
        """
        spec, steps = self.design(task)
        network, fitted = train_new(
            task, spec, lambda built: self._map(built, steps).apply(built), self.extra_epochs, self.learning_rate
        )
        report = {"base": spec.base, "m": spec.m, "steps": steps, "stride": self.stride}
        report |= {"reuse": self.reuse, "wiring": self.wiring}
        return ReductionResult(spec=spec, network=network, fitted=fitted, report=report)

    def design(self, task: ReductionTask) -> tuple[NetworkSpec, str]:
        """Network and steps for the task's budget.

        Raises:
            BudgetError, ConfigError: see ``reduce``.
        """
        high = task.budget > ReluMap.of(task.network).size // 2
        try:
            return self._sized(task, high=high)
        except BudgetError:
            if not high:
                raise
            return self._sized(task, high=False)

    def _sized(self, task: ReductionTask, *, high: bool) -> tuple[NetworkSpec, str]:
        """As ``design``, for high budgets or low ones where options leave it open."""
        steps = self.steps or ("none" if high else "cull+thin")
        if steps not in ("none", "cull", "thin", "cull+thin"):
            raise ConfigError(f"steps: expected none, cull, thin or cull+thin; found {steps!r}")
        groups = self.reuse if self.wiring == "add" else 1
        whole = replace(task.spec, depth="", filters="", arch="", base=self.base or (_HIGH if high else _LOW))
        base = replace(whole, stride=self.stride, reuse=groups)
        m = task.budget * _REFERENCE_M // max(self._count(replace(base, m=_REFERENCE_M), steps), 1) + self.reuse
        while m > self.least_width and self._count(replace(base, m=m), steps) > task.budget:
            m -= 1
        spec = replace(base, m=max(m, self.least_width))
        least = self._count(spec, steps)
        if least > task.budget:
            fewer = [f"{name}=2" for name in ("stride", "reuse") if getattr(self, name) == 1]
            hint = f" ({' or '.join(fewer)} have fewer)" if fewer else ""
            how = f"those of {spec} after {steps}, the narrowest useful one{hint}"
            raise BudgetError(least, how, task.budget)
        return spec, steps

    def _count(self, spec: NetworkSpec, steps: str) -> int:
        relus = named_relus(build_network(spec, device="meta"))
        kept = [relus[name] for name in _configuration(relus, steps).layers(relus)]
        if self.wiring == "pass":
            return sum(int(group_mask(relu.shape, self.reuse).sum()) for relu in kept)
        return sum(relu.active for relu in kept)

    def _map(self, network: Classifier, steps: str) -> ReluMap:
        relus = named_relus(network)
        found = _configuration(relus, steps).relu_map(network)
        if self.wiring != "pass":
            return found
        return ReluMap({name: mask & group_mask(relus[name].shape, self.reuse) for name, mask in found})


def _configuration(relus: Mapping[str, MaskedReLU], steps: str) -> Configuration:
    stages = tuple(sorted({relu.stage for relu in relus.values()}))
    return Configuration(stages[1:] if "cull" in steps else stages, "thin" in steps)
