"""What does preparing pictures together save? The offline phase without a dealer, a picture, by how many there are.

    python benchmarks/together.py --keep          # under ten minutes

Real processes over TLS. Sessions of one backend and network that prepare 1, 4 and 16 pictures a call take turns, so
that ratios hold on a busy machine, too. The first call of each, which sets the session up and may transform weights,
is left out. --keep writes the JSON object to benchmarks/results/together, and `make report` the newest's table into
docs/reference/results.md. On stdout a table, then, last line, the JSON object; progress on stderr.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
from measuring import RESULTS
from measuring.documents import (
    Publish,
    backend_option,
    cache_option,
    link_option,
    markdown,
    newest,
    publishes,
    repeat_option,
    say,
    show,
)
from measuring.machine import Measurement, measures
from measuring.networks import artifact_of, counts
from measuring.processes import Site
from measuring.sessions import WARMUP, Session, in_turn
from measuring.statistics import median_interval, ratio_interval

from pi_system.artifact.store import load
from pi_system.backends.costs import GROUPS
from pi_system.backends.two_party.gates import TWO_PARTY_GATES
from pi_system.cli.errors import PiCommand

KEPT: Final = RESULTS / "together"
COUNTS: Final = tuple(sorted(GROUPS))
NETWORKS: Final = ("builtin:cifar10", "resnet18:m=4", "resnet18:m=16")


def measured(path: Path, backend: str, link: str, repeat: int) -> list[Session]:
    """A session for each of ``COUNTS``, closed, after ``repeat`` counted calls of each in turn."""
    site = Site(name=link, link=link)
    with in_turn([path], [(backend, site, "logits")] * len(COUNTS), WARMUP + repeat) as running:
        for index in range(WARMUP + repeat):
            for one, count in list(zip(running, COUNTS, strict=True))[:: 1 if index % 2 else -1]:
                cost = one.prepare(count)
                say(f"{path.name} {backend} {link}: {count} together, {cost.offline_ms / count:.0f} ms a picture")
        return running


def rows(sessions: Sequence[Session]) -> Iterator[dict[str, Any]]:
    """Of each count the times and bytes of a picture, and how they compare with one alone."""
    alone = [cost.offline_ms for cost in sessions[0].offline[WARMUP:]]
    for one, count in zip(sessions, COUNTS, strict=True):
        each_ms = [cost.offline_ms / count for cost in one.offline[WARMUP:]]
        yield {
            "backend": one.backend,
            "link": one.site.link,
            "together": count,
            "offline_ms_samples": each_ms,
            "offline_ms": median_interval(each_ms)._asdict(),
            "of_alone": ratio_interval(each_ms, alone)._asdict(),
            "offline_bytes": one.offline[-1].offline_bytes // count,
        }


def statement() -> str:
    """The table of the newest run that was kept: ratios, which hold on any machine alike, and bytes."""
    report = newest(KEPT)
    columns = (
        "network=`{network}`|backend=`{backend}`|link|together|time a picture, of one alone="
        "{share}|MB a picture={offline_bytes:/1e6}"
    )
    shown = [row | {"share": _share(row)} for row in report["rows"]]
    about = report["environment"]
    run = f"{report['repeat']} calls of each in turn, {about['cpu']}, {about['date'][:10]}, commit `{about['git_sha']}`"
    return f"{markdown(shown, columns)}\n\nMedians with 95 % intervals, widened by 2 % either way: {run}."


def _share(row: dict[str, Any]) -> str:
    ratio = row["of_alone"]
    return "1" if row["together"] == 1 else f"{ratio['value']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


@click.command(cls=PiCommand)
@measures
@click.option("--network", "networks", multiple=True, default=NETWORKS, show_default=True, help="Repeatable.")
@backend_option(tuple(TWO_PARTY_GATES), ("gmw",))
@link_option("loopback")
@repeat_option(5)
@publishes
@cache_option
def main(
    run: Measurement,
    networks: tuple[str, ...],
    backends: tuple[str, ...],
    links: tuple[str, ...],
    repeat: int,
    publish: Publish,
    cache: Path,
) -> None:
    """Measure the offline phase of a picture among others."""
    found = list[dict[str, Any]]()
    for name in networks:
        path = artifact_of(name, cache)
        about = counts(load(path)).model_dump()
        for backend in backends:
            for link in links:
                found += [{**about, "network": name, **row} for row in rows(measured(path, backend, link, repeat))]
    report = run.report("together", repeat=repeat, rows=found)
    columns = (
        "network|backend|link|together={together:d}|offline ms=offline_ms.value:n|of alone=of_alone.value:.2f|"
        "from=of_alone.low:.2f|to=of_alone.high:.2f|offline MB={offline_bytes:/1e6}"
    )
    show("The offline phase of a picture, by how many are prepared together", found, columns)
    publish(report, "together/{date}_{sha}")


if __name__ == "__main__":
    main()
