"""The two commands of a question: ``run`` measures and writes JSON, ``plot`` draws from that JSON only."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from pi_system.cli.errors import PiGroup
from pi_system.measure import environment, party_cores
from pi_system.measure.environment import load_average
from pi_system.measure.latency import THREADS
from pi_system.measure.question import Answer, Mode, QuestionReport
from pi_system.measure.runs import orderly_stop

__all__ = ["COLOURS", "Question", "figure", "plain_log", "question_group", "save"]

RESULTS = Path(__file__).resolve().parents[1] / "results"
Sample = dict[str, Any]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question.

    Attributes:
        name: q01 to q07.
        title: the question, in words.
        script: its file in benchmarks.
        measure: of the mode and the repetitions (None: the mode's own); every sample.
        answers: of the samples.
        draw: the plots of a report, into a folder.
        variables: of the process's environment, which choose what is measured.
    """

    name: str
    title: str
    script: str
    measure: Callable[[Mode, int | None], list[Sample]]
    answers: Callable[[Sequence[Sample]], Sequence[Answer]]
    draw: Callable[[QuestionReport, Path], Sequence[Path]]
    variables: Mapping[str, str] = field(default_factory=dict)

    def report(self, mode: Mode, repeat: int | None) -> QuestionReport:
        """Measure and answer."""
        before = load_average()
        samples = self.measure(mode, repeat)
        return QuestionReport(
            question=self.name,
            title=self.title,
            mode=mode,
            command=self._command(mode, repeat),
            environment=environment(pinned_cores=party_cores(), threads=THREADS, load_before=before),
            samples=tuple(samples),
            answers=tuple(self.answers(samples)),
        )

    def _command(self, mode: Mode, repeat: int | None) -> str:
        given = [f"{name}={shown}" for name, shown in self.variables.items() if os.environ.get(name)]
        options = ["--full"] * (mode == "full") + ([f"--repeat {repeat}"] if repeat else [])
        return " ".join([*given, f"python benchmarks/{self.script} run", *options])


def question_group(question: Question) -> click.Group:
    """``run`` and ``plot`` of a question."""

    @click.group(cls=PiGroup, help=f"{question.name}: run measures, plot draws.")
    def main() -> None:
        pass

    @main.command()
    @click.option("--full", is_flag=True, help="Minutes instead of one.")
    @click.option("--repeat", type=click.IntRange(1, 1000), help="Repetitions counted; none: the mode's own.")
    @click.option("--json-out", type=click.Path(path_type=Path), help=f"Default: results/MODE/{question.name}.json.")
    def run(full: bool, repeat: int | None, json_out: Path | None) -> None:
        """Measure and write the report."""
        mode: Mode = "full" if full else "quick"
        with orderly_stop():
            report = question.report(mode, repeat)
        out = json_out or RESULTS / mode / f"{question.name}.json"
        report.write(out)
        for answer in report.answers:
            between = "" if answer.low == answer.high else f" ({answer.low:.4g} to {answer.high:.4g})"
            click.echo(f"{answer.name}: {answer.value:.4g} {answer.unit}{between} {answer.note}".rstrip())
        click.echo(f"wrote {out}", err=True)

    @main.command()
    @click.argument("file", type=click.Path(path_type=Path))
    @click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the pictures.")
    def plot(file: Path, out: Path) -> None:
        """Draw the plots of a report."""
        for path in question.draw(QuestionReport.read(file), out):
            click.echo(f"wrote {path}", err=True)

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
