"""How does accuracy fall with the ReLU budget, for every method of this package?

Every method reduces the same trained networks to 25, 12.5 and 6 % of ResNet18's ReLUs, with the same epochs, and two
seeds; random masks of the same budget and a plain narrower network are the controls. Networks that start from new
weights (HybReNets, narrower ones) get the baseline's epochs on top, which the reduced ones had in their baseline.
Test pictures are looked at once a run, at its end; everything is chosen on the validation split.

    python benchmarks/study_relu_budgets.py --data cifar100:DIR --out study      (DIR holds cifar-100-binary)

With the defaults about 13,000 core-seconds on CIFAR-100: two hours on two cores of their own. Curves are finished one
after the other, controls and pixel-wise methods first, so that a stopped study holds whole curves.

One command: killed, it goes on where it was when it is given again. The last line of stdout is the JSON that
OUT/study.json holds: recipe, split, seeds, environment and every figure.
"""

import json
import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pi_system.cli.errors import PiGroup  # noqa: E402
from pi_system.reduce.study import Entry, StudyConfig, run_study  # noqa: E402
from pi_system.train import DataConfig, TrainConfig  # noqa: E402

FRACTIONS = (0.25, 0.125, 0.06)


def entries(scratch_epochs: int) -> tuple[Entry, ...]:
    """Every curve; ``scratch_epochs`` is what networks with new weights get on top."""
    extra = {"extra_epochs": str(scratch_epochs)}
    channel = {"granularity": "channel"}
    return (
        Entry(label="random", method="random"),
        Entry(label="snl", method="snl"),
        Entry(label="deepreduce", method="deepreduce", options={"order": "3,2,4,1"}),
        Entry(label="narrower", method="narrower", options=extra),
        Entry(label="deepreshape", method="deepreshape", options=extra),
        Entry(label="hrn-snl", method="snl", network=1),
        Entry(label="senet", method="senet"),
        Entry(label="shallow", method="shallow"),
        Entry(label="snl-channel", method="snl", options=channel),
        Entry(label="senet-channel", method="senet", options=channel),
        Entry(label="random-channel", method="random", options=channel),
    )


@click.group(cls=PiGroup, invoke_without_command=True, context_settings={"show_default": True})
@click.option("--data", default="digits", help="digits, cifar10:PATH, cifar100:PATH or folder:PATH.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for all runs.")
@click.option("--network", default="resnet18:m=16", help="The network whose ReLUs the budgets refer to.")
@click.option("--hybrid", default="hrn-2x5x3x:m=8", help="The HybReNet that SNL reduces to the same budgets.")
@click.option("--baseline-epochs", default=6)
@click.option("--epochs", default=2, help="Of every reduction.")
@click.option("--seeds", default=2)
@click.option("--batch-size", default=128)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="bfloat16")
@click.option("--only", multiple=True, help="Run this curve only; may be given several times.")
@click.option("--workers", default=2, help="Runs at once.")
@click.option("--threads", default=1, help="Of each.")
def main(
    data: str,
    out: Path,
    network: str,
    hybrid: str,
    baseline_epochs: int,
    epochs: int,
    seeds: int,
    batch_size: int,
    precision: str,
    only: tuple[str, ...],
    workers: int,
    threads: int,
) -> None:
    """Run the study, or go on with it."""
    shared = {"batch_size": batch_size, "precision": precision}
    config = StudyConfig(
        data=DataConfig.parse(data),
        networks=(network, hybrid),
        seeds=tuple(range(seeds)),
        fractions=FRACTIONS,
        baseline=TrainConfig(epochs=baseline_epochs, learning_rate=0.1, **shared),
        reduction=TrainConfig(epochs=epochs, learning_rate=0.05, **shared),
        entries=tuple(entry for entry in entries(baseline_epochs) if entry.label in only or not only),
    )
    found = run_study(
        config, out, workers=workers, threads=threads, report=lambda line: print(line, file=sys.stderr, flush=True)
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
