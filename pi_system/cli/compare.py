"""Options of how many bits comparisons see, which ``export`` and ``finetune`` share."""

from typing import Any, cast

import click

from pi_system.cli.program import Decorator, with_options
from pi_system.export.compare_bits import CompareBits, CompareOptions


def _compare_bits(context: click.Context, parameter: click.Parameter, value: str | None) -> CompareBits | None:
    if value is None or value in ("auto", "full"):
        return cast(CompareBits | None, value)
    if value.isascii() and value.isdigit() and 2 <= int(value) <= 63:
        return int(value)
    raise click.BadParameter(f"expected auto, full or 2 to 63, found {value}")


def compare_options(default: str | None, text: str) -> Decorator:
    """``--compare-bits``, ``--compare-loss`` and ``--compare-pictures``; ``text`` says what the default is."""
    return with_options(
        click.option(
            "--compare-bits",
            default=default,
            callback=_compare_bits,
            help=f"Bits that fss and table compare: full, a number, or auto: by layer the fewest. {text}",
        ),
        click.option(
            "--compare-loss",
            type=click.FloatRange(0, 1),
            help="What auto may cost: a share of accuracy on the validation pictures. Default: 0.001.",
        ),
        click.option(
            "--compare-pictures",
            type=click.IntRange(2),
            help="Validation pictures auto looks at. Default: what a few seconds a step allow.",
        ),
    )


def options_of(given: dict[str, Any]) -> CompareOptions | None:
    """Take them out of what was ``given``; None where no bits were."""
    bits, loss, pictures = (given.pop(f"compare_{name}") for name in ("bits", "loss", "pictures"))
    return None if bits is None else CompareOptions(bits=bits, loss=loss, pictures=pictures)
