"""DeepReDuce's steps as data: which stages and layers keep their ReLUs, and how the network is reshaped.

Source: Jha, Ghodsi, Garg, Reagen, ICML 2021, arXiv 2103.01396: culling, thinning, reshaping.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pi_system.errors import BudgetError, ConfigError
from pi_system.train.networks import Classifier, build_network
from pi_system.train.relu import MaskedReLU, named_relus
from pi_system.train.relu_map import ReluMap
from pi_system.train.spec import NetworkSpec


@dataclass(frozen=True, slots=True)
class Configuration:
    """Stages whose ReLUs are kept, and whether only one ReLU layer a block is."""

    stages: tuple[int, ...]
    thin: bool

    def layers(self, relus: Mapping[str, MaskedReLU]) -> list[str]:
        """Names of the ReLU layers that are kept."""
        last = {(relu.stage, relu.block): name for name, relu in relus.items()}
        return [
            name
            for name, relu in relus.items()
            if relu.stage in self.stages and not (self.thin and last[relu.stage, relu.block] != name)
        ]

    def count(self, relus: Mapping[str, MaskedReLU]) -> int:
        """ReLUs that are kept, of those active now."""
        return sum(relus[name].active for name in self.layers(relus))

    def relu_map(self, network: Classifier) -> ReluMap:
        """The map of this configuration, within the positions the network has active now."""
        relus = named_relus(network)
        kept = set(self.layers(relus))
        return ReluMap({name: relu.mask.cpu() & (name in kept) for name, relu in relus.items()})


def configurations(order: tuple[int, ...]) -> list[Configuration]:
    """All combinations of culling and thinning, from the most ReLU layers down.

    Args:
        order: stages, most critical first.
    """
    return [
        Configuration(tuple(sorted(order[:kept])), thin) for kept in range(len(order), 0, -1) for thin in (False, True)
    ]


@dataclass(frozen=True, slots=True)
class Reshaping:
    """The third step: m becomes this share of it, the stem's stride this many times itself."""

    channels: float = 1.0
    stride: int = 1

    def __post_init__(self) -> None:
        """Check both."""
        if not 0 < self.channels <= 1:
            raise ConfigError(f"channels: expected above 0 and at most 1; found {self.channels}")
        if self.stride < 1:
            raise ConfigError(f"stride: expected at least 1; found {self.stride}")

    def of(self, spec: NetworkSpec) -> NetworkSpec:
        """The reshaped network.

        Raises:
            ConfigError: other widths are asked of a network whose channels were pruned.
        """
        if self.channels != 1 and spec.filters:
            raise ConfigError(f"channels: expected 1 for a network with pruned filters; found {self.channels}")
        return replace(spec, m=max(1, round(spec.m * self.channels)), stride=spec.stride * self.stride)


def reshapings(spec: NetworkSpec) -> list[Reshaping]:
    """Those of the paper's published points, narrower before coarser: a half and a quarter, of channels and of sides.

    A width that would fall below 2 channels is left out, as are all of a network whose filters were pruned.
    """
    tried = [Reshaping(channels, stride) for stride in (1, 2) for channels in (1.0, 0.5, 0.25)]
    tried = [one for one in tried if one.channels == 1 or not spec.filters]
    return [one for one in tried if one.of(spec).m >= min(2, spec.m)]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration of a (reshaped) network, and its ReLUs."""

    reshaping: Reshaping
    configuration: Configuration
    relus: int


def candidates(
    spec: NetworkSpec, network: Classifier, shapes: Iterable[Reshaping], steps: Sequence[Configuration]
) -> list[Candidate]:
    """Every combination, in this order; one that is not reshaped has the ReLUs that ``network`` has active now."""
    found = []
    for shape in shapes:
        reshaped = shape.of(spec)
        relus = named_relus(network if reshaped == spec else build_network(reshaped, device="meta"))
        found += [Candidate(shape, one, one.count(relus)) for one in steps]
    return found


def in_order(found: Sequence[Candidate]) -> list[Candidate]:
    """Without those that are reshaped before they are culled and thinned: all published points take the steps in order.

    Where all keep one stage, nothing is left to cull.
    """
    stages = max(len(one.configuration.stages) for one in found)
    return [
        one
        for one in found
        if one.reshaping == Reshaping()
        or (one.configuration.thin and (stages == 1 or len(one.configuration.stages) < stages))
    ]


def choose(found: Sequence[Candidate], budget: int) -> Candidate:
    """The candidate with the most ReLUs within the budget; the earlier one on a tie.

    Raises:
        BudgetError: none is within the budget; the message says the least.
    """
    fitting = [one for one in found if 0 < one.relus <= budget]
    if not fitting:
        least = min((one.relus for one in found if one.relus), default=0)
        raise BudgetError(least, "the least that these steps reach here", budget)
    return max(fitting, key=lambda one: one.relus)


def parse_stages(option: str, text: str, stages: tuple[int, ...], *, all_of_them: bool) -> tuple[int, ...]:
    """Read stages such as ``3,2,4,1``.

    Args:
        option: whose value it is, for the error.
        text: the stages.
        stages: those there are.
        all_of_them: expect every stage once; otherwise some, each once at most.

    Raises:
        ConfigError: something else.
    """
    parts = [part.strip() for part in text.split(",")]
    known = {str(stage) for stage in stages}
    if len(set(parts)) != len(parts) or not set(parts) <= known or (all_of_them and set(parts) != known):
        expected = "each stage" if all_of_them else "some"
        raise ConfigError(f"{option}: expected {expected} of {stages} once, as '3,2'; found {text!r}")
    return tuple(int(part) for part in parts)
