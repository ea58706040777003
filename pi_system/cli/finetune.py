"""``pi-train finetune``: train a finished run on with few bits compared."""

from pathlib import Path
from typing import Any

import click

from pi_system.cli.compare import compare_options, options_of
from pi_system.cli.methods import finetuning
from pi_system.cli.options import recipe_options, show_result, warn_of_chance
from pi_system.export.compare_bits import CompareOptions
from pi_system.export.finetune import finetune_run


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@compare_options(default="auto", text="")
@recipe_options()
def finetune(source: Path, out: Path, quiet: bool, as_json: bool, preset: str, **options: Any) -> None:
    """Train the finished run SOURCE with random signs, as comparisons of few bits have them.

    The result is a run; pi-train export exports it with these bits.
    """
    compare = options_of(options) or CompareOptions(bits="auto")
    config, _ = finetuning("whole", preset, options)
    result = finetune_run(source, out, compare, config, progress=not quiet)
    show_result(result, as_json)
    warn_of_chance(result, "try more bits (--compare-bits), more --epochs or a lower --learning-rate")
