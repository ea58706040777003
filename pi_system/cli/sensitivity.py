"""``pi-train sensitivity``: what every ReLU layer and stage of a run is worth, with its sign."""

from pathlib import Path

import click

from pi_system.cli.options import json_option, show_result
from pi_system.reduce.job import task_of
from pi_system.reduce.sensitivity_report import SensitivityReport, sensitivity_report
from pi_system.train.config import TrainConfig
from pi_system.train.run import RunDirectory


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--density", default=0.1, help="Share of the weights that the pruning keeps.")
@click.option("--seed", default=0, help="Which training pictures are looked at.")
@json_option
def sensitivity(source: Path, density: float, seed: int, as_json: bool) -> None:
    """Say what each ReLU layer and stage of the run SOURCE is worth, beside its weights; nothing is trained."""
    found = sensitivity_report(task_of(RunDirectory(source), 0, TrainConfig(epochs=0, seed=seed)), density=density)
    show_result(found.as_json() if as_json else _lines(found), as_json)


def _lines(found: SensitivityReport) -> dict[str, str]:
    lines = {
        layer.name: f"{layer.rise:+.4f} loss without its {layer.relus:,} ReLUs; pruning keeps {layer.density:.1%}"
        for layer in found.layers
    }
    lines |= {f"stage {stage}": f"{rise:+.4f} loss without its ReLUs" for stage, rise in found.stages.items()}
    correlations = f"{found.by_layer:+.2f} by layer, {found.by_relu:+.2f} by ReLU"
    return lines | {"rank correlation": f"{correlations}, of loss and pruning (SENet: negative)"}
