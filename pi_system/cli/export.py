"""``pi-train export``: a finished run becomes an artifact that a server can serve."""

from pathlib import Path
from typing import Any, cast

import click

from pi_system.artifact.store import load_public
from pi_system.channel.shaped import parse_link
from pi_system.cli.options import json_option, show_result
from pi_system.cost import faster_gate
from pi_system.export.compare_bits import CompareBits
from pi_system.export.job import export_run
from pi_system.export.quantise import QuantiseOptions
from pi_system.protocols.linear_he.params import MAX_RING_BITS

_PATH = click.Path(path_type=Path)


def _compare_bits(context: click.Context, parameter: click.Parameter, value: str) -> CompareBits:
    if value in ("auto", "full"):
        return cast(CompareBits, value)
    if value.isascii() and value.isdigit() and 2 <= int(value) <= 63:
        return int(value)
    raise click.BadParameter(f"expected auto, full or 2 to 63, found {value}")


@click.command()
@click.argument("run", type=_PATH)
@click.argument("folder", type=_PATH)
@click.option("--ring-bits", type=click.IntRange(8, 64), help="l; default: the narrowest of 32, 48, 59, 64.")
@click.option("--frac-bits", type=click.IntRange(1, 24), help="Fraction bits of activations; default by accuracy.")
@click.option("--max-error", default=0.015, show_default=True, help="Largest logit error of fixed point, calibrated.")
@click.option(
    "--truncate-before-relu/--truncate-in-relu",
    default=None,
    help="Where fraction bits are dropped; before needs more than 32 ring bits. Default: that of the narrower ring.",
)
@click.option(
    "--compare-bits",
    default="full",
    show_default=True,
    callback=_compare_bits,
    help="Bits that comparisons see with a dealer: full, a number, or auto: by layer the fewest that keep labels.",
)
@click.option(
    "--compare-loss",
    type=click.FloatRange(0, 1),
    default=0.002,
    show_default=True,
    help="Share of labels of calibration pictures that --compare-bits auto may change.",
)
@click.option(
    "--link", default="lan", show_default=True, help="Link a backend is advised for: loopback, lan, wan, MBIT_S,RTT_MS."
)
@json_option
def export(run: Path, folder: Path, as_json: bool, link: str, **options: Any) -> None:
    """Export the finished run RUN as the artifact FOLDER."""
    shape = parse_link(link)
    result = export_run(run, folder, QuantiseOptions(**options))
    if result["ring_bits"] <= MAX_RING_BITS:
        result["backend_without_dealer"] = faster_gate(load_public(folder), shape)
    show_result(result, as_json)
