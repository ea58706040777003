"""The parameter type of a time: positive, finite seconds."""

import math
from typing import Final

import click

_MOST: Final = 1e8


class Seconds(click.ParamType[float]):
    """Seconds, more than none and less than three years: what nothing that waits takes for an error of its own."""

    name = "seconds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number. A usage error for anything else."""
        try:
            seconds = float(str(value))
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= _MOST:
            self.fail(f"expected seconds, more than 0 and at most {_MOST:g}, found {str(value)[:40]}", param, ctx)
        return seconds


SECONDS: Final = Seconds()
