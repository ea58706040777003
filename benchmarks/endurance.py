"""Does a server stay up? Runs that crowd, kill, mutate and stop, each with claims that its numbers support or not.

    python benchmarks/endurance.py crowd --folder FOLDER --keep              64 clients at once beside 4
    python benchmarks/endurance.py kills --folder FOLDER --duration 3600     workers are killed while clients go on
    python benchmarks/endurance.py frames --folder FOLDER --count 1000000    mutated frames, all backends and phases
    python benchmarks/endurance.py stop --rounds 5                           probes under load, then SIGTERM
    python benchmarks/endurance.py table --into docs/reference/results.md              what the kept JSON says

``crowd`` needs an idle machine. The others are no timings: they run beside other work, may be stopped for a while, and
go on in the same folder when they are given again. ``--keep`` writes benchmarks/results/load/NAME.json.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from measuring import RESULTS, documents, endurance_table
from measuring import crowd as crowds
from measuring.frames import BACKENDS, FrameRun
from measuring.kills import KillRun
from measuring.load import Load
from measuring.machine import Measurement, measures
from measuring.networks import cached_artifact
from measuring.processes import orderly_stop
from measuring.steady import report
from measuring.stopping import run_stops

from pi_system.cli.errors import PiCommand, PiGroup
from pi_system.cli.seconds import SECONDS

SMALL = "resnet18:m=1,size=8,classes=2"

folder_option = click.option("--folder", type=documents.PATH, help="Keep everything there, and go on from it.")
duration_option = click.option("--duration", default=60.0, show_default=True, type=SECONDS, help="In all.")
network_option = click.option("--network", default=SMALL, show_default=True)


@click.group(cls=PiGroup)
def main() -> None:
    """Find out what a server bears."""


@contextmanager
def working_folder(folder: Path | None) -> Iterator[Path]:
    """``folder``, or one for as long as the block runs."""
    with orderly_stop(), tempfile.TemporaryDirectory(prefix="pi-endurance-") as name:
        yield (folder or Path(name)).absolute()


def show(made: Mapping[str, Any], publish: documents.Publish) -> None:
    """Verdicts for people, then the JSON object."""
    for found in made["claims"]:
        documents.say(f"{found['verdict']}: {found['claim']} ({found['found']})")
    publish(made, f"load/{made['question']}")


@main.command(cls=PiCommand)
@measures
@folder_option
@click.option("--duration", default=600.0, show_default=True, type=SECONDS, help="Of the many clients.")
@click.option("--few-duration", default=180.0, show_default=True, type=SECONDS, help="Of the few, before and after.")
@click.option("--network", default="resnet18:m=4,size=16", show_default=True)
@click.option("--backend", default="gmw", show_default=True)
@click.option("--clients", default=64, show_default=True, type=click.IntRange(2, 256), help="The many.")
@click.option("--few", default=4, show_default=True, type=click.IntRange(1, 255))
@click.option("--max-sessions", default=4, show_default=True, type=click.IntRange(1, 256), help="Of the server.")
@click.option("--timeout", default=60.0, show_default=True, type=SECONDS, help="Of each request's wait for a place.")
@documents.cache_option
@documents.publishes
def crowd(
    run: Measurement,
    folder: Path | None,
    duration: float,
    few_duration: float,
    network: str,
    backend: str,
    clients: int,
    few: int,
    max_sessions: int,
    timeout: float,
    cache: Path,
    publish: documents.Publish,
) -> None:
    """Compare many clients at once with few; each request prepares its inference."""
    many, fewer = (
        Load(backend=backend, clients=count, rate_per_s=None, duration_s=time, counted=True, timeout_s=timeout)
        for count, time in ((clients, duration), (few, few_duration))
    )
    with working_folder(folder) as place:
        loads = (fewer, many, fewer)
        samples = crowds.run_crowd(cached_artifact(network, cache), place, loads, max_sessions)
    claims = crowds.claims(samples)
    made = run.report("crowd", network=network, max_sessions=max_sessions, samples=samples, claims=claims)
    show(made, publish)


@main.command(cls=PiCommand)
@folder_option
@duration_option
@network_option
@click.option("--backend", default="gmw", show_default=True)
@click.option("--clients", default=8, show_default=True, type=click.IntRange(1, 256))
@click.option("--every", default=20.0, show_default=True, type=SECONDS, help="Mean time between two kills.")
@documents.cache_option
@documents.publishes
def kills(
    folder: Path | None,
    duration: float,
    network: str,
    backend: str,
    clients: int,
    every: float,
    cache: Path,
    publish: documents.Publish,
) -> None:
    """Kill the server's workers with SIGKILL while clients prepare and infer."""
    load = Load(backend=backend, clients=clients, rate_per_s=None, duration_s=duration, counted=False)
    with working_folder(folder) as place:
        sample = KillRun(cached_artifact(network, cache), place, load, every).run()
    show(report("kills", **sample), publish)


@main.command(cls=PiCommand)
@folder_option
@click.option("--count", default=10_000, show_default=True, type=click.IntRange(1), help="Mutated frames in all.")
@click.option("--network", default=f"{SMALL}/compare=8", show_default=True, help="That all backends run.")
@documents.backend_option(BACKENDS, BACKENDS)
@documents.cache_option
@documents.publishes
def frames(
    folder: Path | None,
    count: int,
    network: str,
    backends: tuple[str, ...],
    cache: Path,
    publish: documents.Publish,
) -> None:
    """Send mutated frames of recorded sessions while an honest client asks for inferences."""
    with working_folder(folder) as place:
        sample = FrameRun(cached_artifact(network, cache), place, documents.unique(backends)).run(count)
    show(report("frames", **sample), publish)


@main.command(cls=PiCommand)
@folder_option
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Servers that are stopped.")
@click.option("--duration", default=10.0, show_default=True, type=SECONDS, help="Of each round's load.")
@network_option
@click.option("--backend", default="gmw", show_default=True)
@click.option("--clients", default=8, show_default=True, type=click.IntRange(1, 256))
@documents.cache_option
@documents.publishes
def stop(
    folder: Path | None,
    rounds: int,
    duration: float,
    network: str,
    backend: str,
    clients: int,
    cache: Path,
    publish: documents.Publish,
) -> None:
    """Probe a server under load, then stop it with SIGTERM."""
    common: dict[str, Any] = {"rate_per_s": None, "counted": True, "timeout_s": 20.0}
    load = Load(backend=backend, clients=clients, duration_s=duration, **common)
    with working_folder(folder) as place:
        sample = run_stops(cached_artifact(network, cache), place, load, rounds)
    show(report("stop", **sample), publish)


@main.command(cls=PiCommand)
@click.option("--into", type=documents.PATH, help="The document whose marks the table goes between.")
def table(into: Path | None) -> None:
    """Print what the kept JSON says, or put it in its place."""
    text = endurance_table.table(RESULTS / "load")
    if into is None:
        click.echo(text)
    else:
        into.write_text(documents.between_marks(into.read_text(), endurance_table.MARK, text))


if __name__ == "__main__":
    main()
