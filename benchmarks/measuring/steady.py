"""Time in which a process ran, and where long runs put what they found: they may be stopped, ended and gone on with."""

import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from measuring.environment import environment
from measuring.question import Sample

STOPPED_S: Final = 5.0
"""Longer between two looks, and the process was stopped (SIGSTOP, a suspended machine), as its server probably was."""


class Journal:
    """Lines of JSON in a file, one an event; what an ended run has written is kept. Safe in all threads."""

    def __init__(self, path: Path):
        """Read what there is."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.entries: list[Sample] = [json.loads(line) for line in _whole_lines(path)]
        self._lock, self._path = threading.Lock(), path

    def add(self, **entry: Any) -> None:
        """One more."""
        with self._lock, open(self._path, "a") as file:
            self.entries.append(entry)
            file.write(json.dumps(entry) + "\n")

    def of(self, kind: str) -> list[Sample]:
        """Those of a kind, in order."""
        return [entry for entry in self.entries if entry["kind"] == kind]


class ActiveTime:
    """Seconds of a run's sittings, by its journal; longer pauses between two looks at the clock are set apart.

    Attributes:
        active_s: all but the pauses.
    """

    def __init__(self, journal: Journal):
        """Go on from there; the first look begins a sitting."""
        self.active_s = float(sum(entry["active_s"] for entry in journal.of("sitting")))
        self._journal = journal
        self._last_s: float | None = None

    @property
    def stops(self) -> list[tuple[float, float]]:
        """Begin and end of each pause, seconds since 1970."""
        return [(entry["begin_s"], entry["end_s"]) for entry in self._journal.of("stop")]

    @property
    def stopped_s(self) -> float:
        """In all."""
        return sum(end_s - begin_s for begin_s, end_s in self.stops)

    def look(self) -> float:
        """The active seconds so far; to be called several times a second."""
        now_s = time.time()
        before_s, self._last_s = self._last_s or now_s, now_s
        if now_s - before_s > STOPPED_S:
            self._journal.add(kind="stop", begin_s=before_s, end_s=now_s)
        else:
            self.active_s += now_s - before_s
        return self.active_s


def _whole_lines(path: Path) -> list[str]:
    text = path.read_text() if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)  # what was being written when the run was ended
    return whole.splitlines()


def claim(text: str, found: Any, holds: bool) -> Sample:
    """What is claimed, what was found, and whether that supports it."""
    return {"claim": text, "found": found, "verdict": "supported" if holds else "contradicted"}


def report(question: str, **fields: Any) -> Mapping[str, Any]:
    """The JSON object of a run that is no timing, made beside whatever else the machine does."""
    about = environment(load_before=os.getloadavg(), pinned_cores={})
    return {"schema": 1, "question": question, **fields, "environment": about.model_dump(mode="json")}
