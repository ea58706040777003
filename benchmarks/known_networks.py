"""Do well-known networks run privately at their published sizes, at what cost over which link, and are they torch's?

    python benchmarks/known_networks.py run --folder FOLDER --keep --link loopback --link wan
    python benchmarks/known_networks.py run --folder FOLDER --spu-python SPU_VENV/bin/python --keep
    make report                                     # the tables of docs/reference/results.md, from the kept JSON

ResNet50, SqueezeNet 1.1, DenseNet121 and MobileNetV2 (measuring/cnns.py) at 224 x 224, with random weights or those of
a file that torchvision publishes (``--weights``; measuring/published.py): export by calibration on 64 pictures, then
inferences between real processes with each backend over each link, and SPU's on the same artifact, compared with the
torch module. It takes hours and gigabytes and goes on in FOLDER when it is given again: a network's JSON has every run
that is there. Beside other work (``--busy``) its times are shown as multiples only.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from measuring import documents
from measuring.cnns import CNNS
from measuring.known import LINKS, Known, exported
from measuring.known_table import SPU_PROTOCOL
from measuring.machine import Measurement, measures
from measuring.published import WeightFile
from peers import known_spu

from pi_system.artifact.store import load_public
from pi_system.backends.registry import BACKENDS, runnable
from pi_system.cli.errors import PiCommand, PiGroup

_SIZE: Final = click.IntRange(32, 1024)

size_option = click.option("--size", default=224, show_default=True, type=_SIZE, help="Height and width of pictures.")
weights_option = click.option(
    "--weights", type=documents.PATH, help="A file that torchvision publishes, under its own name; none: random ones."
)


@click.group(cls=PiGroup)
def main() -> None:
    """Export well-known networks and run them privately."""


@main.command(cls=PiCommand)
@click.argument("network", type=click.Choice(list(CNNS)))
@size_option
@weights_option
@click.option("--folder", type=documents.PATH, required=True, help="Of all files.")
def export(network: str, size: int, weights: Path | None, folder: Path) -> None:
    """Export one network in this process, unless that is done."""
    known = _known(network, size, folder, weights)
    if not (known.place / "export.json").exists():
        shutil.rmtree(known.artifact, ignore_errors=True)
    click.echo(json.dumps(documents.once(known.place / "export.json", known.export)))


@main.command(cls=PiCommand)
@measures
@click.option("--network", "networks", multiple=True, type=click.Choice(list(CNNS)), help="Repeatable; none: all.")
@size_option
@weights_option
@documents.backend_option(BACKENDS, ("fss", "gmw"))
@click.option(
    "--link", "links", multiple=True, default=("loopback",), type=click.Choice(list(LINKS)), help="Repeatable."
)
@documents.repeat_option(1)
@click.option("--spu-python", help="Run SPU instead: interpreter of the environment that peers/spu/setup.sh made.")
@click.option(
    "--spu-limit", default=1800.0, show_default=True, type=click.FloatRange(1, 3600), help="Seconds it may take."
)
@click.option("--folder", type=documents.PATH, required=True, help="Keep everything there, and go on from it.")
@documents.publishes
def run(run: Measurement, publish: documents.Publish, **options: Any) -> None:
    """Export, infer, compare."""
    networks = documents.unique(options["networks"], tuple(CNNS))
    if options["weights"] and len(networks) > 1:
        raise click.UsageError("--weights: expected one --network with it")
    for network in networks:
        known = _known(network, options["size"], options["folder"], options["weights"])
        documents.say(f"{known.name}: export")
        sample = exported(known)
        for name, make in _tasks(known, options).items():
            documents.say(f"{known.name}: {name}")
            documents.once(known.place / f"run-{name}.json", lambda make=make: make() | _about(run))
            shutil.rmtree(known.place / name, ignore_errors=True)
        runs = [json.loads(path.read_text()) for path in sorted(known.place.glob("run-*.json"))]
        runs.sort(key=lambda one: list(LINKS).index(one["link"]))
        offered = list(runnable(load_public(known.artifact).public))  # by the code that ran, whenever it was exported
        report = run.report("known", networks=[{**sample, "backends": offered, "runs": runs}])
        publish(report, f"known/{known.name}")


def _known(network: str, size: int, folder: Path, weights: Path | None) -> Known:
    checked = WeightFile.check(weights.absolute(), network) if weights else None
    return Known(network, size, folder.absolute(), checked)


def _tasks(known: Known, options: dict[str, Any]) -> dict[str, Callable[[], dict[str, Any]]]:
    """What is to be run on a network, by the name of its file."""
    repeat, python = options["repeat"], options["spu_python"]
    if python:
        limit_s = options["spu_limit"]
        return {f"spu-{SPU_PROTOCOL}": lambda: known_spu.infer(known, python, SPU_PROTOCOL, repeat, limit_s)}
    return {
        f"{backend}-{link}": lambda backend=backend, link=link: known.infer(backend, link, repeat)  # type: ignore[misc]
        for link in documents.unique(options["links"])
        for backend in documents.unique(options["backends"])
    }


def _about(run: Measurement) -> dict[str, Any]:
    return {"environment": run.environment().model_dump(mode="json")}


if __name__ == "__main__":
    main()
