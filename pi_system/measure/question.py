"""The JSON of benchmarks/qNN_*.py, schema 1: raw samples, and answers with intervals computed from them.

Plots, tables and the report read nothing but this. A later field is added with a default, never by another schema.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pi_system.errors import InputError
from pi_system.measure.environment import Environment
from pi_system.measure.statistics import Interval

__all__ = ["Answer", "Mode", "QuestionReport"]

Mode = Literal["quick", "full"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Answer(_Strict):
    """One number that answers a question.

    Attributes:
        name: unique in the report, the same in every run of the mode, as ``fss/lan/us_per_relu``.
        value: the estimate.
        unit: such as ``us/ReLU``; ``x`` for a ratio.
        low: of its 95 % interval; equal to value where it is exact, as bytes are.
        high: of its 95 % interval.
        ratio: of two times of one run, so that it should hold in any other (benchmarks/compare_runs.py).
        note: what a reader must know.
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
        return cls(
            name=name, value=interval.value, unit=unit, low=interval.low, high=interval.high, ratio=ratio, note=note
        )

    @classmethod
    def exact(cls, name: str, value: float, unit: str, *, note: str = "") -> "Answer":
        """An answer that is counted, not measured."""
        return cls(name=name, value=value, unit=unit, low=value, high=value, note=note)


class QuestionReport(_Strict):
    """One run of one question.

    Attributes:
        schema_version: in JSON ``schema``.
        question: ``q01`` and so on.
        title: the question in words.
        mode: quick or full.
        command: that makes it again, without paths of this machine.
        environment: what it was measured on.
        samples: every measured run as it was taken: network, backend, link, ``online_ms`` (a list, one a
            repetition), bytes, rounds and what the question adds.
        answers: computed from the samples.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    question: str = Field(pattern=r"^q\d\d$")
    title: str
    mode: Mode
    command: str
    environment: Environment
    samples: tuple[dict[str, Any], ...] = Field(min_length=1)
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

    def to_json(self) -> str:
        """The JSON text, indented."""
        return self.model_dump_json(by_alias=True, indent=1)

    def write(self, path: Path) -> None:
        """Write the JSON text, making the folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json() + "\n")

    @classmethod
    def read(cls, path: Path) -> "QuestionReport":
        """Read what ``write`` wrote.

        Raises:
            InputError: the file is missing or not such a report.
        """
        try:
            return cls.model_validate_json(path.read_text())
        except (OSError, ValidationError) as error:
            raise InputError(f"{path}: expected the JSON of a question; {error}") from error
