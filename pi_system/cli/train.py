"""``pi-train``: train a network, reduce its ReLUs, evaluate and count it.

    pi-train train --network resnet18:m=16 --data digits --preset small --out runs/digits
    pi-train methods
    pi-train reduce runs/digits --method snl --fraction 0.25 --epochs 8 --out runs/digits-quarter
    pi-train pareto runs/digits --epochs 4 --out runs/digits-pareto
    pi-train export runs/digits-half model
    pi-train export-torch mine:build model --weights best.safetensors --calibration pictures --size 32
    pi-train builtin
    torchrun --nproc-per-node 2 -m pi_system.cli.train train --network resnet18 --data cifar100:DATA --out runs/full

A command that was stopped (Ctrl-C, SIGTERM, kill) goes on where it was when it is given again.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from pi_system.cli.builtin import builtin
from pi_system.cli.export import export
from pi_system.cli.export_own import export_onnx, export_torch
from pi_system.cli.finetune import finetune
from pi_system.cli.methods import MethodCommand, PresetCommand, finetuning, method_option, methods, pairs
from pi_system.cli.options import given_of, json_option, recipe_options, show_result, warn_of_budget, warn_of_chance
from pi_system.cli.profile import profile
from pi_system.cli.program import program
from pi_system.cli.sensitivity import sensitivity
from pi_system.errors import ConfigError
from pi_system.reduce.equalization import CRITICALITY_ORDER, equalized_multipliers, multiplier_name
from pi_system.reduce.job import reduce_run
from pi_system.reduce.pareto import criticality_run, pareto_run
from pi_system.train.counting import count_network
from pi_system.train.data import DataConfig, load_data, write_sample
from pi_system.train.job import train_run
from pi_system.train.networks import build_network
from pi_system.train.parallel import joined
from pi_system.train.presets import PLAIN_PRESETS, recipe_of
from pi_system.train.run import RunDirectory
from pi_system.train.spec import NetworkSpec

_Number = TypeVar("_Number", int, float)
_PATH = click.Path(path_type=Path)


@program("pi-train", show_default=True)
def main() -> None:
    """Train networks with few ReLUs."""
    click.get_current_context().with_resource(joined())


@main.command(cls=PresetCommand)
@click.option("--network", default="resnet18:m=16", help="Such as resnet18:m=16 or hrn-5x5x3x:m=16.")
@click.option("--data", default="digits", help="digits, cifar10:PATH, cifar100:PATH, tinyimagenet:PATH or folder:PATH.")
@click.option("--image-size", type=int, help="Size that pictures of folder:PATH are brought to.")
@click.option("--split-seed", default=0, help="Which training pictures become the validation split.")
@recipe_options()
def train(
    network: str,
    data: str,
    image_size: int | None,
    split_seed: int,
    out: Path,
    quiet: bool,
    as_json: bool,
    preset: str,
    **recipe: Any,
) -> None:
    """Train a network with all its ReLUs."""
    source = DataConfig.parse(data, size=image_size, split_seed=split_seed)
    config = recipe_of(PLAIN_PRESETS, preset, given_of(recipe))
    result = train_run(out, network, source, config, progress=not quiet)
    show_result(result, as_json)
    warn_of_chance(result, "try more --epochs, a lower --learning-rate or --preset paper, or see whether labels fit")


@main.command(cls=MethodCommand)
@click.argument("source", type=_PATH)
@method_option
@click.option("--budget", type=int, help="Largest number of ReLUs.")
@click.option("--fraction", type=float, help="The same as a share of SOURCE's ReLUs.")
@click.option("--set", "options", multiple=True, metavar="KEY=VALUE", help="Option of the method; see below.")
@recipe_options()
def reduce(
    source: Path,
    method: str,
    budget: int | None,
    fraction: float | None,
    options: tuple[str, ...],
    out: Path,
    quiet: bool,
    as_json: bool,
    preset: str,
    **recipe: Any,
) -> None:
    """Reduce the ReLUs of the finished run SOURCE."""
    config, preset_options = finetuning(method, preset, recipe)
    result = reduce_run(
        source,
        out,
        method,
        {**preset_options, **pairs(options)},
        config,
        budget=budget,
        fraction=fraction,
        progress=not quiet,
    )
    show_result(result, as_json)
    warn_of_budget(result, config.epochs)
    warn_of_chance(result, "try a larger --budget, more --epochs or another --method (pi-train methods)")


@main.command()
@click.argument("source", type=_PATH)
@click.option("--order", help="Stages, most critical first, as 3,2,4,1; measured if it is left out.")
@click.option("--criticality-epochs", default=2, help="Epochs of each measurement.")
@click.option("--channels", default="1,0.5,0.25", help="Shares of the width to try.")
@click.option("--strides", default="1,2", help="Strides of the stem to try: 2 halves feature maps.")
@click.option("--start", type=click.Choice(["inherited", "new"]), default="inherited", help="Of points not reshaped.")
@click.option("--extra-epochs", default=10, help="Epochs more for points that start from new weights.")
@recipe_options()
def pareto(
    source: Path,
    order: str | None,
    criticality_epochs: int,
    channels: str,
    strides: str,
    start: str,
    extra_epochs: int,
    out: Path,
    quiet: bool,
    as_json: bool,
    preset: str,
    **recipe: Any,
) -> None:
    """Try every DeepReDuce configuration of the run SOURCE and mark the Pareto set."""
    found = pareto_run(
        source,
        out,
        finetuning("deepreduce", preset, recipe)[0],
        order=_numbers("order", order, int) if order else None,
        criticality_epochs=criticality_epochs,
        channels=_numbers("channels", channels, float),
        strides=_numbers("strides", strides, int),
        start=start,
        extra_epochs=extra_epochs,
        progress=not quiet,
    )
    best = {p["run"]: f"{p['relus']:,} ReLUs, {p['test_accuracy']:.2%}" for p in found["points"] if p["pareto"]}
    show_result(found if as_json else best, as_json)


@main.command()
@click.argument("source", type=_PATH)
@recipe_options(epochs=2)
def criticality(source: Path, out: Path, quiet: bool, as_json: bool, preset: str, **recipe: Any) -> None:
    """Measure how critical each stage's ReLUs are in the run SOURCE."""
    config, _ = finetuning("deepreduce", preset, recipe)
    entries = criticality_run(source, out, config, epochs=config.epochs, progress=not quiet)
    lines = {f"stage {e.stage}": f"C = {e.criticality:.4f}, {e.relus:,} ReLUs, {e.accuracy:.2%}" for e in entries}
    show_result({"criticality": [asdict(e) for e in entries]} if as_json else lines, as_json)


@main.command()
@click.option("--blocks", default="2,2,2,2", help="Blocks of each stage.")
@click.option("--order", default=",".join(map(str, CRITICALITY_ORDER)), help="Stages, most critical first.")
@click.option("--alpha", type=int, help="Fix the first multiplier.")
@json_option
def design(blocks: str, order: str, alpha: int | None, as_json: bool) -> None:
    """List the HybReNet multipliers that equalize ReLUs to a criticality order."""
    phi = _numbers("blocks", blocks, int)
    if len(phi) != 4:
        raise ConfigError(f"--blocks: expected four numbers; found {blocks!r}")
    found = equalized_multipliers((phi[0], phi[1], phi[2], phi[3]), _numbers("order", order, int), alpha=alpha)
    names = [multiplier_name(one) for one in found]
    show_result({"multipliers": names if as_json else " ".join(names)}, as_json)


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
@click.option("--data", default="digits", help="digits, cifar10:PATH, cifar100:PATH, tinyimagenet:PATH or folder:PATH.")
@click.option("--index", default=0, help="Which of the test pictures, from 0.")
@json_option
def sample(picture: Path, data: str, index: int, as_json: bool) -> None:
    """Write a test picture of a data set to the file PICTURE (PNG) and print its class."""
    label = write_sample(load_data(DataConfig.parse(data)), index, picture)
    show_result({"picture": str(picture), "class": label}, as_json)


main.add_command(builtin)
main.add_command(methods)
main.add_command(export)
main.add_command(finetune)
main.add_command(export_torch)
main.add_command(export_onnx)
main.add_command(profile)
main.add_command(sensitivity)


def _numbers(name: str, text: str, kind: Callable[[str], _Number]) -> tuple[_Number, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--{name}: expected numbers with commas between them; found {text!r}") from error


if __name__ == "__main__":
    main()
