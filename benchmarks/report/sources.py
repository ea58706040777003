"""What the report is made of: every JSON file of benchmarks/results, checked where it has a model.

Nothing else is read: no clock, no machine, no network. The same files give the same report.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from measuring.question import QUESTIONS, QuestionReport

from pi_system.errors import InputError

MODES: Final = ("full", "quick")
"""Preferred first."""


class QuestionResult(NamedTuple):
    """One question, its measurement if there is one, and where that was read, relative to the folder of results."""

    key: str
    title: str
    report: QuestionReport | None = None
    file: str | None = None


class ResultFile(NamedTuple):
    """A JSON object without a model of its own here, and its file relative to the folder of results."""

    file: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Everything there is to report: all questions in order, and other measurements by subfolder."""

    results: Path
    questions: tuple[QuestionResult, ...]
    stored: Mapping[str, tuple[ResultFile, ...]]

    def holding(self, folder: str, field: str) -> tuple[ResultFile, ...]:
        """Files of a subfolder that hold something in ``field``."""
        return tuple(stored for stored in self.stored.get(folder, ()) if stored.content.get(field))

    def files(self, folder: str, field: str) -> list[Path]:
        """Where they are."""
        return [self.results / stored.file for stored in self.holding(folder, field)]


def load_sources(results: Path) -> Sources:
    """Read every file under ``results``. Raises InputError: a file is not what its folder says."""
    folders = sorted(path for path in results.glob("*") if path.is_dir() and path.name not in MODES)
    return Sources(
        results=results,
        questions=tuple(_question(results, key) for key in QUESTIONS),
        stored={folder.name: _folder(results, folder) for folder in folders},
    )


def _question(results: Path, key: str) -> QuestionResult:
    for mode in MODES:
        path = results / mode / f"{key}.json"
        if path.is_file():
            report = QuestionReport.read(path)
            if (report.question, report.mode) != (key, mode):
                raise InputError(f"{path}: expected {key}, {mode}; found {report.question}, {report.mode}")
            return QuestionResult(key, report.title, report, f"{mode}/{key}.json")
    return QuestionResult(key, QUESTIONS[key])


def _folder(results: Path, folder: Path) -> tuple[ResultFile, ...]:
    """Its files but those that a stopped measurement goes on from."""
    found = []
    for path in sorted(path for path in folder.rglob("*.json") if not path.name.endswith(".part.json")):
        try:
            content = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: expected JSON; {error}") from error
        if not isinstance(content, dict):
            raise InputError(f"{path}: expected a JSON object, found {type(content).__name__}")
        found.append(ResultFile(str(path.relative_to(results)), content))
    return tuple(found)
