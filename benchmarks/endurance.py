"""Does a server stay up? Runs that crowd, kill, mutate and stop, each with claims that its numbers support or not.

    python benchmarks/endurance.py kills --folder FOLDER --duration 3600     workers are killed while clients go on
    python benchmarks/endurance.py table --into docs/results.md              what the kept JSON says

``crowd`` needs an idle machine. The others are no timings: they run beside other work, may be stopped for a while, and
go on in the same folder when they are given again. ``--keep`` writes benchmarks/results/load/NAME.json.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from measuring import documents
from measuring.kills import KillRun
from measuring.load import Load
from measuring.networks import cached_artifact
from measuring.processes import orderly_stop
from measuring.question import Sample
from measuring.steady import report

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


def show(question: str, sample: Sample, publish: documents.Publish) -> None:
    """Verdicts for people, then the JSON object."""
    claims = sample.pop("claims")
    for found in claims:
        documents.say(f"{found['verdict']}: {found['claim']} ({found['found']})")
    publish(report(question, claims, **sample), f"load/{question}")


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
    show("kills", sample, publish)


if __name__ == "__main__":
    main()
