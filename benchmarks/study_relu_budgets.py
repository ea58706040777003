"""How does accuracy fall with the ReLU budget, for every method of this package?

Every method reduces the same trained networks to 25, 12.5 and 6 % of ResNet18's ReLUs, with the same epochs, and two
seeds; random masks of the same budget and a plain narrower network are the controls. Networks that start from new
weights (HybReNets, narrower ones) get the baseline's epochs on top, which the reduced ones had in their baseline.
Test pictures are looked at once a run, at its end; everything is chosen on the validation split.

    python benchmarks/study_relu_budgets.py --data cifar100:DIR --out study      (DIR holds cifar-100-binary)

With the defaults about 14,000 core-seconds on CIFAR-100: two hours on two cores of their own. Curves are finished one
after the other, controls and pixel-wise methods first, so that a stopped study holds whole curves.

One command: killed, it goes on where it was when it is given again. The last line of stdout is the JSON that
OUT/study.json holds: recipe, split, seeds, environment and every figure.

    python benchmarks/study_relu_budgets.py --claims --data cifar100:DIR --out study

goes on in the same folder with what two claims of DeepReShape need, and writes OUT/claims.json: SNL on ResNet18 of half
the width, and on a HybReNet of about as many ReLUs as the other one, but half the share of them in stem and first
stage. The runs both studies have in common are made once. ``--ray`` has Ray run the jobs.
"""

import json
from typing import Any

import click
from measuring.documents import PATH, say

from pi_system.cli.errors import PiGroup
from pi_system.reduce.study import Entry, StudyConfig, run_study
from pi_system.train import DataConfig, TrainConfig

FRACTIONS = (0.25, 0.125, 0.06)


def entries(scratch_epochs: int) -> tuple[Entry, ...]:
    """Every curve; ``scratch_epochs`` is what networks with new weights get on top."""
    extra = {"extra_epochs": str(scratch_epochs)}
    channel = {"granularity": "channel"}
    return (
        Entry(label="random", method="random"),
        Entry(label="fast", method="gradual"),
        Entry(label="deepreduce", method="deepreduce", options={"reshape": "true"} | extra),
        Entry(label="narrower", method="narrower", options=extra),
        Entry(label="deepreshape", method="deepreshape", options=extra),
        Entry(label="hrn-fast", method="gradual", network=1),
        Entry(label="senet", method="senet"),
        Entry(label="shallow", method="shallow"),
        Entry(label="fast-channel", method="gradual", options=channel),
        Entry(label="senet-channel", method="senet", options=channel),
        Entry(label="random-channel", method="random", options=channel),
    )


def claim_entries() -> tuple[Entry, ...]:
    """The fast schedule on networks that differ in width, and in their share of least critical ReLUs."""
    labels = ("fast", "hrn-fast", "narrow-fast", "hrn-5x5x3x-fast")
    return tuple(Entry(label=label, method="gradual", network=n) for n, label in enumerate(labels))


CLAIM_NETWORKS = ("resnet18:m=4", "hrn-5x5x3x:m=2")
"""34,816 ReLUs; 42,880, a quarter of them in stem and first stage (HRN-2x5x3x with m = 4: 46,592, 44 %)."""


@click.group(cls=PiGroup, invoke_without_command=True, context_settings={"show_default": True})
@click.option("--data", default="digits", help="digits, cifar10:PATH, cifar100:PATH or folder:PATH.")
@click.option("--out", type=PATH, required=True, help="Folder for all runs.")
@click.option("--network", default="resnet18:m=8", help="The network whose ReLUs the budgets refer to.")
@click.option("--hybrid", default="hrn-2x5x3x:m=4", help="The HybReNet that SNL reduces to the same budgets.")
@click.option("--baseline-epochs", default=8)
@click.option("--epochs", default=2, help="Of every reduction.")
@click.option("--seeds", default=2)
@click.option("--batch-size", default=64)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="bfloat16")
@click.option("--only", multiple=True, help="Run this curve only; may be given several times.")
@click.option("--workers", default=2, help="Runs at once.")
@click.option("--threads", default=1, help="Of each.")
@click.option("--claims", is_flag=True, help="The networks that the papers' claims are tested on.")
@click.option("--ray", is_flag=True, help="Ray runs the jobs (RAY_ADDRESS: on that cluster).")
def main(**given: Any) -> None:
    """Run the study, or go on with it."""
    shared = {name: given[name] for name in ("batch_size", "precision")}
    claims, baseline_epochs = given["claims"], given["baseline_epochs"]
    curves = claim_entries() if claims else entries(baseline_epochs)
    config = StudyConfig(
        data=DataConfig.parse(given["data"]),
        networks=(given["network"], given["hybrid"], *(CLAIM_NETWORKS if claims else ())),
        seeds=tuple(range(given["seeds"])),
        fractions=FRACTIONS,
        baseline=TrainConfig(epochs=baseline_epochs, learning_rate=0.1, **shared),
        reduction=TrainConfig(epochs=given["epochs"], learning_rate=0.05, **shared),
        entries=tuple(entry for entry in curves if entry.label in given["only"] or not given["only"]),
    )
    name, how = "claims" if claims else "study", {name: given[name] for name in ("workers", "threads", "ray")}
    click.echo(json.dumps(run_study(config, given["out"], report=say, name=name, **how)))


if __name__ == "__main__":
    main()
