"""Does ``--backend auto`` take the fastest? Its choice beside what was measured, from committed JSON.

    python benchmarks/choices.py show         # a line a network and link
    python benchmarks/choices.py networks     # exports the networks of new measurements, without a measurement

A case is a network over a link for which one run measured several backends without a third party; the choice among
them is made by the calibration that ships, for the link that was imitated. Links are given here, not measured, and
runs are of several machines and commits: ratios within a run are what is compared.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import geometric_mean, median
from typing import Final, Literal, NamedTuple

import click
from measuring import RESULTS
from measuring.documents import cache_option, number, say, show
from measuring.networks import cached_artifact, few_bits
from measuring.schema import Strict
from measuring.validation import Validation, public_of
from pydantic import Field
from report.answers import KEY, online, runs

from pi_system.artifact.model import PublicArtifact, PublicModel
from pi_system.artifact.store import load, load_public
from pi_system.backends.registry import AUTO_BACKENDS
from pi_system.channel.link import parse_link
from pi_system.cli.errors import PiGroup
from pi_system.cost import choose
from pi_system.errors import ConfigError
from pi_system.networks import BUILTIN_PREFIX, artifact_folder

MODELS: Final = RESULTS / "cost_model" / "networks.json"
VALIDATION: Final = RESULTS / "cost_model" / "validation.json"
_BITS: Final = 8
"""Compared, where a run has a backend that needs few; others compare all bits of the same model."""


class Models(Strict):
    """Public models of measured networks, by name, without their ReLU maps: enough for what they cost."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    networks: dict[str, PublicModel]


class Case(NamedTuple):
    """One network over one link: median online milliseconds by backend."""

    file: str
    network: str
    link: str
    times: Mapping[str, float]

    @property
    def model(self) -> str:
        """Name of the model that runs under all of them."""
        return f"{self.network}/compare={_BITS}" if AUTO_BACKENDS[0] in self.times else self.network

    @property
    def ordered(self) -> str:
        """The first in the fixed order."""
        return next(name for name in AUTO_BACKENDS if name in self.times)

    def behind(self, backend: str) -> float:
        """Its time by that of the fastest: 1 where it is."""
        return self.times[backend] / min(self.times.values())


class Outcome(NamedTuple):
    """A case and what ``auto`` takes there."""

    case: Case
    chosen: str


def cases() -> list[Case]:
    """Every measured one: of single pictures of single clients."""
    return [*_of_runs(), *_of_validation()]


def _of_runs() -> Iterator[Case]:
    for path in runs():
        for (network, *values), times in online(path.read_text()).items():
            about, ours = dict(zip(KEY, values, strict=True)), _ours(times)
            if len(ours) > 1 and about["batch"] in (None, 1) and about["clients"] in (None, 1):
                yield Case(path.stem, str(network), str(about["link"]), ours)


def _of_validation() -> Iterator[Case]:
    found: dict[tuple[str, str], dict[str, float]] = {}
    for sample in _validation().samples:
        found.setdefault((sample.network, sample.link), {})[sample.backend] = median(sample.online_ms)
    for (network, link), times in found.items():
        if len(ours := _ours(times)) > 1:
            yield Case(VALIDATION.stem, network, link, ours)


def _ours(times: Mapping[str, float]) -> dict[str, float]:
    return {name: times[name] for name in AUTO_BACKENDS if name in times}


@cache
def _validation() -> Validation:
    return Validation.read(VALIDATION)


@cache
def outcomes() -> tuple[Outcome, ...]:
    """Of all cases whose network is kept, network by network: the walks over a graph are kept for its next link."""
    models = Models.read(MODELS).networks | _validation().networks
    known = sorted((case for case in cases() if case.model in models), key=lambda case: case.model)
    publics = {name: public_of(models[name]) for name in dict.fromkeys(case.model for case in known)}
    return tuple(Outcome(case, _chosen(publics[case.model], case)) for case in known)


def _chosen(public: PublicArtifact, case: Case) -> str:
    return choose(public, parse_link(case.link), offered=tuple(case.times)).backend


def statement(found: Sequence[Outcome] = ()) -> str:
    """What docs/how-to/which-backend.md says of it, of these, or of all."""
    found = found or outcomes()
    chosen = [case.behind(name) for case, name in found]
    ordered = [case.behind(case.ordered) for case, _ in found]
    return (
        f"Of {len(found)} measured pairs of network and link, `auto` takes the fastest in {_hits(chosen)}; where it "
        f"does not, its choice takes {_misses(chosen)}. The fixed order (the first of "
        f"{', '.join(f'`{name}`' for name in AUTO_BACKENDS)} that was measured) takes the fastest in {_hits(ordered)}, "
        f"and where it does not {_misses(ordered)}. Over all pairs `auto` takes {_longer(chosen)} longer than the "
        f"fastest, the fixed order {_longer(ordered)} (geometric means)."
    )


def _longer(ratios: list[float]) -> str:
    return f"{number(100 * (geometric_mean(ratios) - 1))} %"


def _hits(ratios: list[float]) -> int:
    return sum(ratio == 1 for ratio in ratios)


def _misses(ratios: list[float]) -> str:
    missed = [ratio for ratio in ratios if ratio > 1]
    if not missed:
        return "no longer"
    return f"{number(min(missed))} to {number(max(missed))} times as long (median {number(median(missed))})"


@click.group(cls=PiGroup)
def main() -> None:
    """Compare what auto takes with what was measured."""


@main.command("show")
def show_outcomes() -> None:
    """A line a case, and what the documents say."""
    rows = [
        {
            "file": case.file,
            "network": case.network,
            "link": case.link,
            "chosen": name,
            "ratio": case.behind(name),
            "order": case.behind(case.ordered),
            "measured": ", ".join(f"{each} {number(ms)}" for each, ms in case.times.items()),
        }
        for case, name in outcomes()
    ]
    show("Choices", rows, "file|network|link|chosen|behind=ratio:.2f|fixed order=order:.2f|measured, ms=measured")
    click.echo(statement())


@main.command()
@cache_option
def networks(cache: Path) -> None:
    """Keep the models of networks that were measured since: exported with random weights, as they were measured."""
    known = dict(Models.read(MODELS).networks) if MODELS.exists() else {}
    for name in dict.fromkeys(case.model for case in _of_runs()):
        if name not in known:
            try:
                known[name] = _model(name, cache)
            except ConfigError as error:
                say(f"{name}: left out: {error}")
            MODELS.write_text(Models(networks=known).model_dump_json(by_alias=True) + "\n")
    say(f"{len(known)} networks in {MODELS.name}")


def _model(name: str, cache: Path) -> PublicModel:
    if not name.startswith(BUILTIN_PREFIX):
        return load_public(cached_artifact(name, cache)).public
    plain, _, bits = name.partition("/compare=")
    artifact = load(artifact_folder(plain))
    return (few_bits(artifact, int(bits)) if bits else artifact).public


if __name__ == "__main__":
    main()
