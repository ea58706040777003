"""``pi-train export``: a finished run becomes an artifact that a server can serve."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from pi_system.artifact.store import load_public
from pi_system.backends.registry import AUTO_BACKENDS, runnable, why_not
from pi_system.channel.link import Link, parse_link
from pi_system.cli.compare import compare_options, options_of
from pi_system.cli.options import json_option, show_result
from pi_system.cost import choose
from pi_system.export.job import export_run
from pi_system.export.quantise import QuantiseOptions

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=_PATH)
@click.argument("folder", type=_PATH)
@click.option(
    "--ring-bits",
    type=click.IntRange(8, 64),
    help="l; default: the narrowest of 32, 48, 59, 64 that will do.",
)
@click.option("--frac-bits", type=click.IntRange(1, 24), help="Fraction bits of activations; default by accuracy.")
@click.option(
    "--max-error",
    default=0.02,
    show_default=True,
    help="Largest logit error of fixed point, calibrated, as a share of the standard deviation of a picture's logits.",
)
@click.option("--allow-inexact", is_flag=True, help="Where nothing is as exact, write what comes nearest.")
@click.option(
    "--truncate-before-relu/--truncate-in-relu",
    default=None,
    help="Where fraction bits are dropped; before needs more than 32 ring bits. Default: that of the narrower ring.",
)
@compare_options(default=None, text="Default: those the run was fine-tuned with, else full.")
@click.option(
    "--link", default="lan", show_default=True, help="Link a backend is advised for: loopback, lan, wan, MBIT_S,RTT_MS."
)
@json_option
def export(run: Path, folder: Path, as_json: bool, link: str, **options: Any) -> None:
    """Export the finished run RUN as the artifact FOLDER, with what is printed as FOLDER/card.json."""
    shape, compare = parse_link(link), options_of(options)
    show_export(export_run(run, folder, QuantiseOptions(**options), compare), folder, shape, as_json)


def show_export(result: dict[str, Any], folder: Path, shape: Link, as_json: bool) -> None:
    """Print what an export wrote, with the backend that is advised for a link."""
    public = load_public(folder)
    result["backends"] = runnable(public.public)
    if set(AUTO_BACKENDS) & set(result["backends"]):
        result["backend_without_dealer"] = choose(public, shape).backend
    if result["compare_bits"] and (reason := why_not(public.public, "table")):
        result["without_table"] = reason
    if result["compare_table"] and not as_json:
        show_table(result["compare_table"])
    show_result(result, as_json)


def show_table(found: Mapping[str, Any]) -> None:
    """Print how bits were chosen (``CompareTable.as_json``), losses in points with 95 % intervals."""
    judged = f"{found['pictures']:,} {'labelled ' if found['labelled'] else ''}pictures, {found['draws']} draws"
    what = "accuracy" if found["labelled"] else "labels kept"
    table = Table(title=f"Bits compared, points of {what} lost: {judged}", title_justify="left")
    for head in ("layer", "ReLUs", "k", "t", "K", "n", "alone", "cumulative"):
        table.add_column(head, justify="left" if head == "layer" else "right", no_wrap=True)
    for row in found["layers"]:
        numbers = (f"{row[key]:,}" for key in ("relus", "k", "t", "kept", "n"))
        table.add_row(row["name"], *numbers, _points(row["alone"]), _points(row["cumulative"]))
    console = Console(width=max(Console().width, 120))  # numbers are of no use when they are cut off
    console.print(table)
    total, wanted = found["total"], 100 * found["wanted"]
    console.print(f"{_points(total)} points lost in all; {wanted:g} allowed", highlight=False)
    if not found["resolved"]:
        half = 50 * (total["high"] - total["low"])
        console.print(
            f"So few pictures tell losses to {half:.2g} points, not to {wanted:g}: as few labels as that change",
            highlight=False,
        )


def _points(loss: Mapping[str, float]) -> str:
    return f"{100 * loss['value']:+.2f} ({100 * loss['low']:+.2f} to {100 * loss['high']:+.2f})"
