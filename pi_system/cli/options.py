"""Options and output that several ``pi-train`` commands share."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from pi_system.cli.program import Decorator, with_options
from pi_system.train.parallel import is_first
from pi_system.train.presets import Recipe

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")


def recipe_options(**defaults: Any) -> Decorator:
    """Options of a training recipe: what is not given is the preset's, or one of ``defaults``."""

    def one(name: str, text: str, **settings: Any) -> Decorator:
        field = name.partition("/")[0].removeprefix("--").replace("-", "_")
        return click.option(name, default=defaults.get(field), help=text, **settings)

    return with_options(
        click.option("--out", type=click.Path(path_type=Path), required=True, help="Run directory to write."),
        click.option("--preset", default="fast", help="Recipe that holds where no option says otherwise; see below."),
        one("--epochs", "Passes over the training pictures.", type=int),
        one("--batch-size", "Pictures a step.", type=int),
        one("--learning-rate", "The highest of the schedule.", type=float),
        one("--schedule", "How the rate goes.", type=click.Choice(["cosine", "constant", "onecycle", "multistep"])),
        one("--warmup", "Share of the steps in which the rate rises.", type=float),
        one("--nesterov/--no-nesterov", "Nesterov's momentum.", is_flag=True),
        one("--weight-decay", "Of SGD.", type=float),
        one("--decay", "weights: none on biases and batch normalisation.", type=click.Choice(["all", "weights"])),
        one("--label-smoothing", "Share of the target that goes to all classes.", type=float),
        one("--ema", "Decay of the average of the weights that is kept; 0 keeps the weights.", type=float),
        one("--augment/--no-augment", "Random crop and flip.", is_flag=True),
        one("--crop", "What comes in at the picture's border.", type=click.Choice(["zeros", "reflect"])),
        one("--seed", "Of weights, order and augmentation.", type=int),
        one("--precision", "Of the passes; weights are float32.", type=click.Choice(["float32", "bfloat16"])),
        one("--compile", "Use torch.compile: for long runs.", is_flag=True),
        one("--device", "auto takes CUDA where torch has it.", type=click.Choice(["auto", "cpu", "cuda"])),
        click.option("--quiet", is_flag=True, help="No progress bar."),
        json_option,
    )


def given_of(recipe: Mapping[str, Any]) -> Recipe:
    """What was given of a recipe's options."""
    return {name: value for name, value in recipe.items() if value is not None}


def preset_lines(presets: Mapping[str, Recipe]) -> Iterable[tuple[str, str]]:
    """Name and content of each preset, for a help text."""
    return ((name, " ".join(f"{key}={value}" for key, value in recipe.items())) for name, recipe in presets.items())


def warn_of_chance(result: Mapping[str, Any], advice: str) -> None:
    """Say on stderr, once, that a run's test accuracy is that of guessing, and what to try."""
    reached, guessed = result["test_accuracy"], result.get("guessing_accuracy", -1.0)  # older runs have none
    if is_first() and reached <= guessed:
        click.echo(
            f"warning: test accuracy {reached:.1%} is what guessing reaches (up to {guessed:.1%}): {advice}", err=True
        )


def warn_of_budget(result: Mapping[str, Any], epochs: int) -> None:
    """Say on stderr what a reduction made otherwise of its budget of ReLUs, or of its ``epochs``, than one expects."""
    if not is_first():
        return
    if result["relus"] > result["budget"]:
        kept = f"{result['method']} keeps all {result['relus']:,} ReLUs, it is a control"
        click.echo(f"note: {kept}; the budget of {result['budget']:,} is not met", err=True)
    if epochs and result.get("finetuned_epochs") == 0:  # older runs do not say
        click.echo(
            f"note: choosing and changing ReLUs took all --epochs ({epochs}), nothing was finetuned; give 2 or more",
            err=True,
        )


def show_result(result: dict[str, Any], as_json: bool) -> None:
    """Print a result on stdout: one JSON object, or its plain entries, a line each; of several processes, once."""
    if not is_first():
        return
    if as_json:
        click.echo(json.dumps(result))
        return
    for key, value in result.items():
        if isinstance(value, str | int | float) and key != "schema":
            click.echo(f"{key:20} {value:,}" if isinstance(value, int) else f"{key:20} {value}")
        elif isinstance(value, tuple):  # of names
            click.echo(f"{key:20} {', '.join(value)}")
