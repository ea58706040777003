"""The two commands of a question: ``run`` measures and writes JSON, ``plot`` draws from that JSON only."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from pi_system.cli.errors import INTERRUPTED
from pi_system.errors import PiError
from pi_system.measure.question import Mode, QuestionReport
from pi_system.measure.runs import orderly_stop

__all__ = ["COLOURS", "Draw", "Measure", "figure", "plain_log", "question_group", "save"]

RESULTS = Path(__file__).resolve().parents[1] / "results"
Measure = Callable[[Mode, int | None, str], QuestionReport]
"""Of the mode, repetitions (None: the mode's own) and the command line that the report quotes."""
Draw = Callable[[QuestionReport, Path], Sequence[Path]]

COLOURS = {
    "fss": ("#0072b2", "o"),
    "gmw": ("#d55e00", "^"),
    "gc": ("#cc79a7", "D"),
    "crypten": ("#555555", "s"),
    "crypten-shipped": ("#999999", "P"),
    "spu:SEMI2K": ("#009e73", "v"),
    "spu:CHEETAH": ("#b8860b", "X"),
}
"""Colour and marker of a system: told apart without colour, too."""


def question_group(question: str, script: str, measure: Measure, draw: Draw) -> click.Group:
    """``run`` and ``plot`` of the question in ``script``."""

    @click.group(help=f"{question}: run measures, plot draws.")
    def main() -> None:
        pass

    @main.command()
    @click.option("--full", is_flag=True, help="Minutes instead of one.")
    @click.option("--repeat", type=click.IntRange(1, 1000), help="Repetitions counted; none: the mode's own.")
    @click.option("--json-out", type=click.Path(path_type=Path), help=f"Default: results/MODE/{question}.json.")
    @click.pass_context
    def run(context: click.Context, full: bool, repeat: int | None, json_out: Path | None) -> None:
        """Measure and write the report."""
        mode: Mode = "full" if full else "quick"
        command = f"python benchmarks/{script} run" + " --full" * full + (f" --repeat {repeat}" if repeat else "")
        try:
            with orderly_stop():
                report = measure(mode, repeat, command)
        except PiError as error:
            click.echo(f"error: {error}", err=True)
            context.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("error: stopped", err=True)
            context.exit(INTERRUPTED)
        out = json_out or RESULTS / mode / f"{question}.json"
        report.write(out)
        for answer in report.answers:
            between = "" if answer.low == answer.high else f" ({answer.low:.4g} to {answer.high:.4g})"
            click.echo(f"{answer.name}: {answer.value:.4g} {answer.unit}{between} {answer.note}".rstrip())
        click.echo(f"wrote {out}", err=True)

    @main.command()
    @click.argument("file", type=click.Path(path_type=Path))
    @click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the pictures.")
    @click.pass_context
    def plot(context: click.Context, file: Path, out: Path) -> None:
        """Draw the plots of a report."""
        try:
            for path in draw(QuestionReport.read(file), out):
                click.echo(f"wrote {path}", err=True)
        except PiError as error:
            click.echo(f"error: {error}", err=True)
            context.exit(error.exit_code)

    return main


def figure(rows: int = 1, **options: Any) -> tuple[Any, Any]:
    """A figure of ``rows`` panels below each other, legible at a width of 360 pixels: its axes in an array."""
    pyplot.rcParams.update({"font.size": 12, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "q"})
    drawn, axes = pyplot.subplots(rows, 1, figsize=(6, 4 * rows), layout="constrained", squeeze=False, **options)
    return drawn, axes[:, 0]


def plain_log(axes: Any) -> None:
    """A logarithmic y axis with ticks at 1, 2 and 5, written out."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def save(drawn: Any, out: Path, stem: str) -> list[Path]:
    """Write PNG and SVG of one stem."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{stem}.png", out / f"{stem}.svg"]
    drawn.savefig(paths[0], dpi=150)
    drawn.savefig(paths[1], metadata={"Date": None})
    pyplot.close(drawn)
    return paths
