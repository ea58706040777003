"""Do well-known networks run privately at their published sizes, and are their logits torch's?

    python benchmarks/known_networks.py run --folder FOLDER --busy --keep
    make report                                     # the table of docs/reference/results.md, from the kept JSON

ResNet50, SqueezeNet 1.1, DenseNet121 and MobileNetV2 (measuring/cnns.py) with random weights at 224 x 224: export by
calibration on 64 pictures, then one inference between real processes with each backend, compared with the torch module.
It takes hours and gigabytes, goes on in FOLDER when it is given again, and may run beside other work: its times
then say little, and the JSON says what ran.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Final

import click
from measuring import RESULTS, documents
from measuring.cnns import CNNS
from measuring.known import Known, exported
from measuring.machine import Measurement, measures

from pi_system.artifact.store import load_public
from pi_system.backends.registry import BACKENDS, runnable
from pi_system.cli.errors import PiCommand, PiGroup

KEPT: Final = RESULTS / "known"
_SIZE: Final = click.IntRange(32, 1024)
_COLUMNS: Final = (
    "network|ReLUs={relus:,d}|MACs, M={macs:/1e6,,.0f}|ring|error, % of spread={error:.2f}|labels={labels}|backend|"
    "private error, %={private:.2f}|label|online, x={online:.2f}|MB={online_mb:.0f}|rounds|offline, x={offline:.0f}|"
    "MB={offline_mb:.0f}|server GB={server:.1f}|client GB={client:.1f}"
)

size_option = click.option("--size", default=224, show_default=True, type=_SIZE, help="Height and width of pictures.")


@click.group(cls=PiGroup)
def main() -> None:
    """Export well-known networks and run them privately."""


@main.command(cls=PiCommand)
@click.argument("network", type=click.Choice(list(CNNS)))
@size_option
@click.option("--folder", type=documents.PATH, required=True, help="Of all files.")
def export(network: str, size: int, folder: Path) -> None:
    """Export one network in this process, unless that is done."""
    known = Known(network, size, folder.absolute())
    if not (known.place / "export.json").exists():
        shutil.rmtree(known.artifact, ignore_errors=True)
    click.echo(json.dumps(documents.once(known.place / "export.json", known.export)))


@main.command(cls=PiCommand)
@measures
@click.option("--network", "networks", multiple=True, type=click.Choice(list(CNNS)), help="Repeatable; none: all.")
@size_option
@documents.backend_option(BACKENDS, ("fss", "gmw"))
@click.option("--folder", type=documents.PATH, required=True, help="Keep everything there, and go on from it.")
@documents.publishes
def run(
    run: Measurement,
    networks: tuple[str, ...],
    size: int,
    backends: tuple[str, ...],
    folder: Path,
    publish: documents.Publish,
) -> None:
    """Export, infer, compare."""
    found = []
    for network in documents.unique(networks, tuple(CNNS)):
        known = Known(network, size, folder.absolute())
        documents.say(f"{network}: export")
        sample = exported(known)
        runs = []
        for backend in backends:
            documents.say(f"{network}: one inference, {backend}")
            runs.append(documents.once(known.place / f"{backend}.json", known.infer, backend))
            shutil.rmtree(known.place / backend, ignore_errors=True)
        offered = list(runnable(load_public(known.artifact).public))  # by the code that ran, whenever it was exported
        found.append({**sample, "backends": offered, "runs": runs})
    every = len(found) == len(CNNS)
    what = size if every else "-".join(sample["network"] for sample in found)
    publish(run.report("known", networks=found), f"known/{what}")


def table() -> str:
    """What the kept JSON says, in Markdown: one table, then when and how each of its networks was run."""
    rows, runs, seen = [], list[str](), set[str]()
    for path in sorted(KEPT.glob("*.json")):
        report = json.loads(path.read_text())
        about, names = report["environment"], [network["network"] for network in report["networks"]]
        rows += [_row(network, each) for network in report["networks"] for each in network["runs"]]
        beside = "beside other work" if about["others_during"] else "alone on the machine"
        runs.append(f"{', '.join(names)}: {about['date'][:10]}, commit `{about['git_sha']}`, {beside}")
        seen |= {name.rpartition("-")[0] for name in names}
    parts = [
        documents.markdown(rows, _COLUMNS),
        f"One core a party. Times are multiples of each network's first online time here. {'; '.join(runs)}.",
    ]
    if missing := [name for name in CNNS if name not in seen]:
        parts.append(f"Not run: {', '.join(missing)}.")
    return "\n\n".join(parts)


def _row(network: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    stated, unit_ms = network["stated"], network["runs"][0]["online_ms"]
    return {
        **{name: network[name] for name in ("network", "relus", "macs")},
        "ring": network["ring_bits"],
        "error": 100 * stated["error"],
        "labels": f"{round(stated['agreement'] * stated['pictures'])} of {stated['pictures']}",
        "backend": f"`{run['backend']}`",
        "private": 100 * run["error"],
        "label": "torch's" if run["labels"] == 1 else "another",
        "online": run["online_ms"] / unit_ms,
        "online_mb": run["online_bytes"] / 1e6,
        "rounds": run["rounds"],
        "offline": run["offline_ms"] / unit_ms,
        "offline_mb": run["offline_bytes"] / 1e6,
        "server": run["peak_memory_bytes"]["server"] / 1e9,
        "client": run["peak_memory_bytes"]["client"] / 1e9,
    }


if __name__ == "__main__":
    main()
