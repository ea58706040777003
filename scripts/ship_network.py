"""Put a finished, reduced run into the package as ``builtin:NAME``: its artifact and its card.

    python scripts/ship_network.py RUN NAME [--data-note "JPEG copy of CIFAR-10"]

Replaces what has that name. The card says how the network was trained and how accurate it is, in float32 and, on the
first 1,000 test pictures, as the exported fixed-point program.
"""

import shutil
from pathlib import Path

import click
import torch

from pi_system.artifact.store import load
from pi_system.cli.errors import PiGroup
from pi_system.errors import ConfigError
from pi_system.export.job import export_run
from pi_system.networks import NetworkCard
from pi_system.program.fixed_point import fixed_logits
from pi_system.train.data import load_data
from pi_system.train.data.augment import Normalisation
from pi_system.train.run import RunDirectory

_NETWORKS = Path(__file__).resolve().parents[1] / "pi_system" / "networks"
_PICTURES = 1000
_MOST_BYTES = 8_000_000
_LICENCE = (
    "Weights: MIT, as the package. CIFAR-10 (A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, "
    "2009) comes without a licence statement; none of its pictures are in the package."
)


def fixed_point_accuracy(run: RunDirectory, folder: Path) -> tuple[float, int]:
    """Accuracy of the artifact in ``folder`` on the first test pictures of ``run``, and how many they are."""
    artifact, data = load(folder), load_data(run.data_config())
    normalise = Normalisation.of(data.preprocess, torch.device("cpu"))
    right, count = 0, min(_PICTURES, len(data.test))
    for start in range(0, count, 50):
        stop = min(start + 50, count)
        _, logits = fixed_logits(artifact, normalise(data.test.images[start:stop]).contiguous().numpy())
        right += int((logits.argmax(1) == data.test.labels[start:stop].numpy()).sum())
    return right / count, count


def _recipe(run: RunDirectory) -> dict[str, object]:
    """Recipes of the reduction and of the training before it, without paths."""
    config = run.config()
    reduction = dict(config["reduction"])
    source = RunDirectory(Path(reduction.pop("source")))
    return {"train": source.config()["train"], "reduction": reduction, "finetune": config["train"]}


@click.group(cls=PiGroup, invoke_without_command=True, context_settings={"allow_interspersed_args": True})
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--data-note", default="CIFAR-10, a JPEG copy (quality 75)", help="What it was trained on.")
@click.option("--licence", default=_LICENCE, help="Of weights and data.")
def main(run: Path, name: str, data_note: str, licence: str) -> None:
    """Ship RUN, a directory of pi-train reduce, as builtin:NAME."""
    directory, folder = RunDirectory(run), _NETWORKS / name
    result = directory.result()
    if "reduction" not in directory.config():
        raise ConfigError(f"{run}: expected a run of pi-train reduce")
    draft = folder.with_name(f".{name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    export_run(run, draft)
    for file in draft.iterdir():
        file.chmod(0o644)  # public weights
    accuracy, pictures = fixed_point_accuracy(directory, draft)
    card = NetworkCard(
        name=name,
        network=result["network"],
        data=data_note,
        classes=len(result["preprocess"]["classes"]),
        relus=result["relus"],
        relus_before=result["relu_positions"],
        test_accuracy=result["test_accuracy"],
        fixed_point_accuracy=accuracy,
        fixed_point_pictures=pictures,
        recipe=_recipe(directory),
        licence=licence,
    )
    (draft / "card.json").write_text(card.model_dump_json(indent=2) + "\n")
    size = sum(file.stat().st_size for file in draft.iterdir())
    if size > _MOST_BYTES:
        raise ConfigError(f"{run}: expected at most {_MOST_BYTES:,} bytes; found {size:,}")
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    click.echo(f"builtin:{name}  {size:,} bytes, test {card.test_accuracy:.2%}, fixed point {accuracy:.2%}")


if __name__ == "__main__":
    main()
