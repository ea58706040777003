"""Put a finished, reduced run into the package as ``builtin:NAME``: its artifact and its card.

    python scripts/ship_network.py ship RUN NAME [--compare-bits auto]
    python scripts/ship_network.py judge NAME cifar10:PATH
    python scripts/ship_network.py costs NAME LATENCY.json

``ship`` replaces what has that name. The card says how the network was trained and how accurate it is: in float32 and
as the exported fixed-point program on all test pictures, and by private inferences between two processes on the first
of them. ``judge`` finds these figures of a shipped network anew, ``costs`` adds what benchmarks/both_phases.py measured
of it.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

import pi_system as pi
from pi_system.artifact.store import load
from pi_system.cli.compare import compare_options, options_of
from pi_system.cli.errors import PiGroup
from pi_system.errors import ConfigError
from pi_system.export.job import export_run, judged_of
from pi_system.networks import BUILTIN_PREFIX, MeasuredCost, NetworkCard, artifact_folder, read_card
from pi_system.program.fixed_point import fixed_logits
from pi_system.train.data import DataConfig, DataSet, load_data
from pi_system.train.run import RunDirectory

_NETWORKS = Path(__file__).resolve().parents[1] / "pi_system" / "networks"
_CHUNK = 50
_MOST_BYTES = 8_000_000
_LICENCE = (
    "Weights: MIT, as the package. {data} (A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, "
    "2009) comes without a licence statement; none of its pictures are in the package."
)
_DATA = {"cifar10": "CIFAR-10, a JPEG copy (quality 75)", "cifar100": "CIFAR-100"}
_private = click.option(
    "--private",
    "pictures",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    help="Of the test pictures so many.",
)
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_FILE = click.Path(path_type=Path, exists=True)


@click.group(cls=PiGroup)
def main() -> None:
    """Networks that come with the package."""


@main.command()
@click.argument("run", type=_FILE)
@click.argument("name")
@_private
@compare_options(default="auto", text="Default: auto.")
def ship(run: Path, name: str, pictures: int, **options: Any) -> None:
    """Ship RUN, a directory of pi-train reduce, as builtin:NAME."""
    directory = RunDirectory(run)
    if "reduction" not in directory.config():
        raise ConfigError(f"{run}: expected a run of pi-train reduce")
    with _drafted(name) as draft:
        export_run(run, draft, compare=options_of(options))
        for file in draft.iterdir():
            file.chmod(0o644)  # public weights
        card = _card(directory, name, accuracies(draft, load_data(directory.data_config()), pictures))
        _write(card, draft)
        size = sum(file.stat().st_size for file in draft.iterdir())
        if size > _MOST_BYTES:
            raise ConfigError(f"{run}: expected at most {_MOST_BYTES:,} bytes; found {size:,}")
    _say(card)


@contextmanager
def _drafted(name: str) -> Iterator[Path]:
    """A folder that becomes that of builtin:NAME once all is in it, and goes where something fails."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"name: expected letters a to z, digits and hyphens between them, found {name!r:.60}")
    folder, draft = _NETWORKS / name, _NETWORKS / f".{name}.new"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        yield draft
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@main.command()
@click.argument("name")
@click.argument("data")
@_private
def judge(name: str, data: str, pictures: int) -> None:
    """Find how accurate builtin:NAME is on the test pictures of DATA, as fixed point and in private."""
    folder, card = artifact_folder(name), read_card(name)
    card = NetworkCard(**{**card.model_dump(), **accuracies(folder, load_data(DataConfig.parse(data)), pictures)})
    _write(card, folder)
    _say(card)


@main.command()
@click.argument("name")
@click.argument("latency", type=_FILE)
def costs(name: str, latency: Path) -> None:
    """Write what LATENCY, the JSON of benchmarks/both_phases.py, has of builtin:NAME into its card."""
    card, named = read_card(name), BUILTIN_PREFIX + name
    try:
        measured = _measured(json.loads(latency.read_bytes()), named, latency)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__} {str(error).splitlines()[0]}"
        raise ConfigError(f"{latency}: expected the JSON of benchmarks/both_phases.py; {what}") from error
    if not measured:
        raise ConfigError(f"{latency}: expected results of {named}")
    _write(card.model_copy(update={"costs": measured}), artifact_folder(name))
    click.echo(f"builtin:{name}  {len(measured)} costs")


def _measured(report: dict[str, Any], named: str, latency: Path) -> tuple[MeasuredCost, ...]:
    """What a report has of the network ``named``."""
    about = report["environment"]
    if about["git_dirty"] or about["others_before"] or about["others_during"]:
        raise ConfigError(f"{latency}: expected a run at a clean commit with nothing else running")
    return tuple(
        MeasuredCost(
            **{key: entry[key] for key in ("backend", "link", "offline_ms", "offline_bytes", "setup_bytes")},
            online_ms=entry["online_ms"]["median"],
            online_bytes=sum(entry["online_bytes"].values()),
            commit=about["git_sha"],
        )
        for entry in report["results"]
        if entry["network"] == named
    )


def accuracies(folder: Path, data: DataSet, pictures: int) -> dict[str, Any]:
    """Of the artifact in ``folder`` on the test pictures of ``data``: fields of its card."""
    labels = data.test.labels.numpy()
    if pictures > len(labels):
        raise ConfigError(f"private: expected at most the {len(labels):,} test pictures, found {pictures:,}")
    inputs = judged_of(data, data.test).pictures
    fixed = fixed_labels(folder, inputs)
    private, backend = private_labels(folder, inputs[:pictures])
    return {
        "fixed_point_accuracy": float((fixed == labels).mean()),
        "fixed_point_pictures": len(fixed),
        "private_accuracy": float((private == labels[: len(private)]).mean()),
        "private_pictures": len(private),
        "private_agreement": float((private == fixed[: len(private)]).mean()),
        "private_backend": backend,
    }


def fixed_labels(folder: Path, inputs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Classes that the artifact in ``folder`` gives preprocessed pictures (N, C, H, W) in fixed point, (N,)."""
    artifact, found = load(folder), []
    for start in track(range(0, len(inputs), _CHUNK), "fixed point"):
        _, logits = fixed_logits(artifact, inputs[start : start + _CHUNK])
        found.append(logits.argmax(1))
    return np.concatenate(found)


def private_labels(folder: Path, inputs: NDArray[np.float32]) -> tuple[NDArray[np.int64], str]:
    """The same by private inferences over TLS, (N,), and the backend that ran them."""
    found: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        keys = pi.make_keys(place / "keys")
        with (
            pi.Server(folder, keys=keys / "server", store=place / "server") as server,
            pi.Client(server.address, keys=keys / "client", store=place / "client") as client,
        ):
            for start in track(range(0, len(inputs), _CHUNK), "private"):
                answers = client.predict(inputs[start : start + _CHUNK])
                found += [answer.index for answer in answers if answer.index is not None]
            return np.array(found), client.served().backend


def _card(run: RunDirectory, name: str, found: dict[str, Any]) -> NetworkCard:
    result, kind = run.result(), run.data_config().name
    data = _DATA.get(kind, kind)
    return NetworkCard(
        name=name,
        network=result["network"],
        data=data,
        classes=len(result["preprocess"]["classes"]),
        relus=result["relus"],
        relus_before=result["relu_positions"],
        test_accuracy=result["test_accuracy"],
        recipe=recipe_of(run),
        licence=_LICENCE.format(data=data.partition(",")[0]),
        **found,
    )


def recipe_of(run: RunDirectory) -> dict[str, Any]:
    """Recipes of the training, of reductions in between where there were any, and of the last, without paths."""
    steps, config = [], run.config()
    while "reduction" in config:
        reduction = dict(config["reduction"])
        source = RunDirectory(Path(reduction.pop("source")))
        steps.append({"reduction": reduction, "finetune": config["train"]})
        config = source.config()
    last, *before = steps
    return {"train": config["train"], **({"earlier": before[::-1]} if before else {}), **last}


def _write(card: NetworkCard, folder: Path) -> None:
    (folder / "card.json").write_text(card.model_dump_json(indent=2) + "\n")


def _say(card: NetworkCard) -> None:
    size = sum(file.stat().st_size for file in artifact_folder(card.name).iterdir())
    click.echo(
        f"builtin:{card.name}  {size:,} bytes, test {card.test_accuracy:.2%}, private {card.private_accuracy:.2%}"
    )


if __name__ == "__main__":
    main()
