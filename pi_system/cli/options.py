"""Options and output that several ``pi-train`` commands share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pi_system.train.parallel import is_first

_Decorator = Callable[[Callable[..., None]], Callable[..., None]]

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")


def recipe_options(epochs: int, learning_rate: float, batch_size: int) -> _Decorator:
    """Options of a training recipe, with the defaults given."""
    options = [
        click.option("--out", type=click.Path(path_type=Path), required=True, help="Run directory to write."),
        click.option("--epochs", default=epochs),
        click.option("--batch-size", default=batch_size),
        click.option("--learning-rate", default=learning_rate),
        click.option("--weight-decay", default=5e-4),
        click.option("--label-smoothing", default=0.0),
        click.option("--augment/--no-augment", default=True, help="Random crop and flip."),
        click.option("--seed", default=0),
        click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32"),
        click.option("--compile", is_flag=True, help="Use torch.compile: for long runs."),
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto"),
        click.option("--quiet", is_flag=True, help="No progress bar."),
        json_option,
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


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
