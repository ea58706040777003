"""How many cores a program computes with: ``--threads``."""

import click

from pi_system.cli.program import Decorator
from pi_system.kernels.cores import MAX_THREADS, use_threads


def threads_option(*, exposed: bool = False) -> Decorator:
    """Add --threads, which this process keeps to from then on; ``exposed``: the command gets its value, too."""

    def use(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
        use_threads(value)
        return value

    return click.option(
        "--threads",
        type=click.IntRange(1, MAX_THREADS),
        callback=use,
        expose_value=exposed,
        help="Cores to compute with, in both phases (default: those that this process may run on and that are idle).",
    )
