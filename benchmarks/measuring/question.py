"""A question of benchmarks/qNN_*.py: its JSON (schema 1), and its command.

    python benchmarks/q01_cost_per_relu.py run [--full]

The JSON holds raw samples, and answers with intervals computed from them. Plots, tables and the report read nothing
but this. A later field is added with a default, never by another schema.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import click
from measuring import RESULTS
from measuring.documents import PATH, say
from measuring.environment import Environment
from measuring.machine import Measurement, measures
from measuring.schema import Strict
from measuring.statistics import Interval
from pydantic import Field, model_validator

from pi_system.cli.errors import PiCommand

Mode = Literal["quick", "full"]
Sample = dict[str, Any]

QUESTIONS: Mapping[str, str] = {
    "q01": "What does one ReLU cost online, and what one multiply-accumulate?",
    "q02": "Does it matter where a budget of ReLUs is placed?",
    "q03": "Which architecture wins under which protocol and link?",
    "q04": "What does the offline phase cost, and what request rate can be sustained when it is counted?",
    "q05": "How do time, bytes and memory scale with the batch, with clients at once, and with the image size?",
    "q06": "What does a square in the place of a ReLU save, under each protocol?",
    "q07": "How do CrypTen, as its authors ship it, and SPU do on the same networks?",
    "q08": "How many bits does a ReLU need?",
}


def by_backend(samples: Sequence[Sample], kind: str) -> dict[str, list[Sample]]:
    """Samples of a kind by backend, in the order they were taken."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample["kind"] == kind:
            found.setdefault(sample["backend"], []).append(sample)
    return found


class Answer(Strict):
    """One number that answers a question, its unit (``x`` for a ratio) and its 95 % interval, closed where it is exact.

    ``name`` is unique in the report, the same in every run of the mode, as ``fss/lan/us_per_relu``. A ``ratio`` is of
    two times of one run, so that it should hold in any other (compare_runs.py).
    """

    name: str = Field(min_length=1)
    value: float
    unit: str
    low: float
    high: float
    ratio: bool = False
    note: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> "Answer":
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.name}: expected low <= value <= high, found {self.low}, {self.value}, {self.high}")
        return self

    @classmethod
    def of(cls, name: str, interval: Interval, unit: str, *, ratio: bool = False, note: str = "") -> "Answer":
        """An answer with a measured interval."""
        return cls(name=name, unit=unit, ratio=ratio, note=note, **interval._asdict())

    @classmethod
    def times(cls, name: str, interval: Interval, *, note: str = "") -> "Answer":
        """A ratio of two times of one run."""
        return cls.of(name, interval, "x", ratio=True, note=note)

    @classmethod
    def exact(cls, name: str, value: float, unit: str, *, note: str = "") -> "Answer":
        """An answer that is counted, not measured."""
        return cls(name=name, value=value, unit=unit, low=value, high=value, note=note)


class QuestionReport(Strict):
    """One run of one question; ``command`` makes it again, without paths of this machine.

    ``samples``: every measured run as it was taken: network, backend, link, ``online_ms`` (a list, one a repetition),
    bytes, rounds and what the question adds; ``answers`` are computed from them.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    question: str = Field(pattern=r"^q\d\d$")
    title: str
    mode: Mode
    command: str
    environment: Environment
    samples: tuple[Sample, ...] = Field(min_length=1)
    answers: tuple[Answer, ...]

    @model_validator(mode="after")
    def _unique(self) -> "QuestionReport":
        names = [answer.name for answer in self.answers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"answers: expected different names, found twice: {', '.join(twice)}")
        return self

    def answer(self, name: str) -> Answer | None:
        """The answer of that name."""
        return next((answer for answer in self.answers if answer.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question: its file in benchmarks, how all samples of a mode are taken, answers of samples, plots of a report.

    ``variables`` of the process's environment choose what is measured.
    """

    script: str
    measure: Callable[[Mode, int | None], list[Sample]]
    answers: Callable[[Sequence[Sample]], Sequence[Answer]]
    draw: Callable[[QuestionReport, Path], Sequence[Path]]
    variables: Mapping[str, str] = field(default_factory=dict)

    def report(self, run: Measurement, mode: Mode, repeat: int | None) -> QuestionReport:
        """Measure and answer."""
        samples, key = self.measure(mode, repeat), Path(self.script).stem[:3]
        given = [f"{name}={shown}" for name, shown in self.variables.items() if os.environ.get(name)]
        options = ["--full"] * (mode == "full") + ([f"--repeat {repeat}"] if repeat else [])
        return QuestionReport(
            question=key,
            title=QUESTIONS[key],
            mode=mode,
            command=" ".join([*given, f"python benchmarks/{Path(self.script).name} run", *options]),
            environment=run.environment(),
            samples=tuple(samples),
            answers=tuple(self.answers(samples)),
        )


def commands(question: Question) -> click.Group:
    """``run [--full]``; `make report` draws."""
    main = click.Group(help=f"{Path(question.script).stem}: run measures, `make report` draws.")

    @main.command(cls=PiCommand)
    @measures
    @click.option("--full", is_flag=True, help="Minutes instead of one.")
    @click.option("--repeat", type=click.IntRange(1, 1000), help="Repetitions counted; none: the mode's own.")
    @click.option("--json-out", type=PATH, help="Default: results/MODE/QUESTION.json.")
    def run(run: Measurement, full: bool, repeat: int | None, json_out: Path | None) -> None:
        """Measure and write the report."""
        report = question.report(run, "full" if full else "quick", repeat)
        out = json_out or RESULTS / report.mode / f"{report.question}.json"
        report.write(out)
        for answer in report.answers:
            between = "" if answer.low == answer.high else f" ({answer.low:.4g} to {answer.high:.4g})"
            click.echo(f"{answer.name}: {answer.value:.4g} {answer.unit}{between} {answer.note}".rstrip())
        say(f"wrote {out}")

    return main
