"""Longer runs of `pi-train` that docs/reference/methods.md shows: one JSON of their run directories.

    python benchmarks/longer_runs.py RUN... --commit SHA [--keep]

RUN is a directory of a finished `pi-train train` or `pi-train reduce`; its name becomes the run's. What is kept: data,
network, recipe, method with its options, figures and the history by epoch; no paths. Runs of the same name are
replaced, others stay. `make report` shows them.
"""

import json
from pathlib import Path
from typing import Any

import click
from measuring import RESULTS
from measuring.documents import PATH, filled, markdown

from pi_system.cli.errors import PiCommand
from pi_system.train.run import RunDirectory

FILE = RESULTS / "methods" / "longer.json"
_FIGURES = ("relus", "relu_positions", "squares", "best_epoch", "validation_accuracy", "test_accuracy")
_COLUMNS = (
    "run=`{name}`|data={config.data.name}|network={network}|how={how}|ReLUs=relus:,|squares=squares:,|"
    "validation=validation_accuracy:.2%|test=test_accuracy:.2%"
)
_SHOWN = ("schedule", "learning_rate", "batch_size", "weight_decay", "label_smoothing")
_HISTORY = ("phase", "epoch", "train_loss", "validation_accuracy", "relus", "lambda")


def record(run: Path) -> dict[str, Any]:
    """What is kept of a finished run. Raises InputError: it is not finished."""
    directory = RunDirectory(run)
    result, config = directory.result(), directory.config()
    config["data"].pop("path")
    if "reduction" in config:
        config["reduction"]["source"] = Path(config["reduction"]["source"]).name
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    history = [{key: line[key] for key in _HISTORY if key in line} for line in lines]
    figures = {key: result[key] for key in _FIGURES if key in result}
    return {"name": run.name, "network": result["network"], "config": config, **figures, "history": history}


def table(file: Path = FILE) -> str:
    """The runs in Markdown, and of SNL's the trajectory beside the published one."""
    runs = json.loads(file.read_text())["runs"]
    shown = markdown([run | {"how": _how(run), "squares": run.get("squares", 0)} for run in runs], _COLUMNS)
    return "\n\n".join([shown.replace("%", " %"), *(trajectory(run) for run in runs if _is_snl(run))])


def _how(run: dict[str, Any]) -> str:
    recipe, reduction = run["config"]["train"], run["config"].get("reduction")
    epochs = f"{recipe['epochs']} epochs"
    if reduction is None:
        return f"all ReLUs, {epochs}, " + ", ".join(f"{name.replace('_', ' ')} {recipe[name]}" for name in _SHOWN)
    options = " ".join(f"{key}={value}" for key, value in reduction["options"].items())
    return f"{reduction['method']} {options} from `{reduction['source']}`, {epochs}".replace("  ", " ")


def _is_snl(run: dict[str, Any]) -> bool:
    return bool(run["config"].get("reduction", {}).get("method") == "snl")


def trajectory(run: dict[str, Any]) -> str:
    """Share of the ReLUs that SNL's search has left after as many epochs, here and as published."""
    published = json.loads((RESULTS.parent / "study" / "methods.json").read_text())["trajectory"]
    (_, whole), *points = published["points"]
    left = {line["epoch"]: line["relus"] for line in run["history"] if "relus" in line}
    rows = [
        {
            "epoch": epoch,
            "here": left[epoch] / run["relu_positions"],
            "there": count / whole,
            "lambda": _weight(run, epoch),
        }
        for epoch, count in points
        if epoch in left
    ]
    words = (
        "SNL's search by `{name}` ({network}) beside a published run of ResNet18 ({source}): share of the ReLUs left."
    )
    columns = "epoch|here=here:.1%|published=there:.1%|lambda here=lambda:.2g"
    return filled(words, run | {"source": published["source"]}) + "\n\n" + markdown(rows, columns).replace("%", " %")


def _weight(run: dict[str, Any], epoch: int) -> float:
    return next(float(line["lambda"]) for line in run["history"] if line["epoch"] == epoch and "lambda" in line)


@click.command(cls=PiCommand)
@click.argument("runs", nargs=-1, required=True, type=PATH)
@click.option("--commit", required=True, help="Of the code that trained them.")
@click.option("--keep", is_flag=True, help="Write benchmarks/results/methods/longer.json; else only print.")
def main(runs: tuple[Path, ...], commit: str, keep: bool) -> None:
    """Collect finished runs."""
    found = {run.name: record(run) | {"commit": commit} for run in runs}
    if keep:
        old = json.loads(FILE.read_text())["runs"] if FILE.exists() else []
        found = {run["name"]: run for run in old} | found
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(json.dumps({"schema": 1, "runs": list(found.values())}, indent=1) + "\n")
    for run in found.values():
        click.echo(filled("{name}: {relus:,} ReLUs, test {test_accuracy:.2%}", run))


if __name__ == "__main__":
    main()
