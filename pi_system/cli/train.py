"""``pi-train``: train a network, reduce its ReLUs, evaluate and count it.

    pi-train train --network resnet18:m=16 --data digits --epochs 12 --out runs/digits
    pi-train reduce runs/digits --method deepreduce --fraction 0.5 --epochs 8 --out runs/digits-half
    pi-train export runs/digits-half model

A command that was stopped (Ctrl-C, SIGTERM, kill) goes on where it was when it is given again.
"""

from pathlib import Path
from typing import Any

import click

from pi_system.cli.errors import PiGroup
from pi_system.cli.export import export
from pi_system.cli.options import json_option, recipe_options, show_result
from pi_system.errors import ConfigError
from pi_system.reduce.job import reduce_run
from pi_system.reduce.registry import METHODS
from pi_system.train.config import TrainConfig
from pi_system.train.counting import count_network
from pi_system.train.data import DataConfig, load_data, write_sample
from pi_system.train.job import train_run
from pi_system.train.networks import build_network
from pi_system.train.run import RunDirectory
from pi_system.train.spec import NetworkSpec

__all__ = ["main"]

_PATH = click.Path(path_type=Path)


@click.group(cls=PiGroup, context_settings={"show_default": True})
def main() -> None:
    """Train networks with few ReLUs."""


@main.command()
@click.option("--network", default="resnet18:m=16", help="Such as resnet18:m=16 or hrn-5x5x3x:m=16.")
@click.option("--data", default="digits", help="digits, cifar10:PATH, cifar100:PATH or folder:PATH.")
@click.option("--image-size", type=int, help="Size that pictures of folder:PATH are brought to.")
@click.option("--split-seed", default=0, help="Which training pictures become the validation split.")
@recipe_options(epochs=15, learning_rate=0.1, batch_size=64)
def train(
    network: str,
    data: str,
    image_size: int | None,
    split_seed: int,
    out: Path,
    quiet: bool,
    as_json: bool,
    **recipe: Any,
) -> None:
    """Train a network with all its ReLUs."""
    source = DataConfig.parse(data, size=image_size, split_seed=split_seed)
    show_result(train_run(out, network, source, TrainConfig(**recipe), progress=not quiet), as_json)


@main.command()
@click.argument("source", type=_PATH)
@click.option("--method", type=click.Choice(list(METHODS)), default="deepreduce")
@click.option("--budget", type=int, help="Largest number of ReLUs.")
@click.option("--fraction", type=float, help="The same as a share of SOURCE's ReLUs.")
@click.option("--set", "options", multiple=True, metavar="KEY=VALUE", help="Option of the method.")
@recipe_options(epochs=10, learning_rate=0.05, batch_size=64)
def reduce(
    source: Path,
    method: str,
    budget: int | None,
    fraction: float | None,
    options: tuple[str, ...],
    out: Path,
    quiet: bool,
    as_json: bool,
    **recipe: Any,
) -> None:
    """Reduce the ReLUs of the finished run SOURCE."""
    config = TrainConfig(**recipe)
    goal = {"budget": budget, "fraction": fraction}
    show_result(reduce_run(source, out, method, _pairs(options), config, **goal, progress=not quiet), as_json)  # type: ignore[arg-type]


@main.command()
@click.argument("run", type=_PATH)
@click.option("--part", type=click.Choice(["test", "validation"]), default="test")
@json_option
def evaluate(run: Path, part: str, as_json: bool) -> None:
    """Measure the accuracy of the finished run RUN."""
    show_result(RunDirectory(run).evaluate(part), as_json)


@main.command()
@click.argument("spec")
@json_option
def count(spec: str, as_json: bool) -> None:
    """Count the ReLUs, multiply-accumulates and parameters of the network SPEC."""
    named = NetworkSpec.parse(spec)
    counts = count_network(build_network(named, device="meta"), (named.channels, named.size, named.size))
    totals = {key: getattr(counts, key) for key in ("relus", "relu_layers", "macs", "parameters")}
    show_result({"network": str(named), **totals}, as_json)


@main.command()
@click.argument("picture", type=_PATH)
@click.option("--data", default="digits", help="digits, cifar10:PATH, cifar100:PATH or folder:PATH.")
@click.option("--index", default=0, help="Which of the test pictures, from 0.")
@json_option
def sample(picture: Path, data: str, index: int, as_json: bool) -> None:
    """Write a test picture of a data set to the file PICTURE (PNG) and print its class."""
    label = write_sample(load_data(DataConfig.parse(data)), index, picture)
    show_result({"picture": str(picture), "class": label}, as_json)


main.add_command(export)


def _pairs(options: tuple[str, ...]) -> dict[str, str]:
    for option in options:
        if "=" not in option:
            raise ConfigError(f"--set: expected KEY=VALUE; found {option!r}")
    return {key: value for key, _, value in (option.partition("=") for option in options)}
