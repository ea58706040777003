"""What a run of a plan leaves beside its run directory: settings, sittings with plan, commit and core-seconds, result.

    OUT/KEY/             run directory (pi_system.train.run)
    OUT/records/KEY.json

A sitting is a process that worked on the run; core-seconds are its CPU time, so that neither other work nor a pause
counts. Exploratory sittings have an OUT of their own (``exploratory`` in the OUT of the plan), which no report reads.
"""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from measuring.environment import git
from measuring.study_plan import Plan, parse_plan
from measuring.study_queue import Run

from pi_system.errors import ConfigError, InputError
from pi_system.train.files import write_atomic

_SCHEMA = 1
_CODE = ("pi_system", "benchmarks", ":!benchmarks/results")
"""What a commit must say all about; figures and documents may be written while a study runs."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a sitting ran by: SHA-256 of the plan and the commit that has it, both in hexadecimal."""

    plan: str
    commit: str


def committed(path: Path, plan: Plan) -> Stamp:
    """The stamp of a plan. Raises ConfigError: plan or code are not what the commit has; such a run could not count."""
    commit = (git(path.parent, "rev-parse", "HEAD") or "").strip()
    if not commit or _show(path, "HEAD") is None:
        raise ConfigError(f"{path}: expected a plan that is committed; --exploratory runs it, and never counts")
    changed = git(path.parent, "status", "--porcelain", "--untracked-files=no", "--", path.name, *_from_top(_CODE))
    if changed or plan_at(path, "HEAD").digest != plan.digest:
        first = changed.splitlines()[0].split()[-1] if changed else path.name
        raise ConfigError(
            f"{path}: expected plan and code as committed, found {first} changed; commit, or --exploratory"
        )
    return Stamp(plan.digest, commit)


def plan_at(path: Path, commit: str) -> Plan:
    """The plan as a commit has it. Raises ConfigError: it has none that can be read."""
    content = _show(path, commit)
    if content is None:
        raise ConfigError(f"{path.name}: expected it in commit {commit[:10]}, found none")
    return parse_plan(content.encode(), f"{path.name} of {commit[:10]}")


def _show(path: Path, commit: str) -> str | None:
    return git(path.parent, "show", f"{commit}:./{path.name}")


def _from_top(paths: tuple[str, ...]) -> list[str]:
    return [f":(top,exclude){path[2:]}" if path.startswith(":!") else f":(top){path}" for path in paths]


@dataclass(slots=True, kw_only=True)
class Sitting:
    """One process at work: when it began (UTC, ISO 8601), on what, and its seconds and core-seconds so far."""

    started: str
    plan: str
    commit: str
    machine: dict[str, Any]
    seconds: float = 0.0
    core_seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class Record:
    """One run. ``result`` has its figures, or ``error`` where a method cannot reach the budget; None: not finished."""

    file: Path
    settings: dict[str, Any]
    sittings: list[Sitting] = field(default_factory=list)
    result: dict[str, Any] | None = None

    @property
    def core_seconds(self) -> float:
        """Over all sittings."""
        return sum(sitting.core_seconds for sitting in self.sittings)

    @property
    def key(self) -> str:
        """Of the run."""
        return str(self.settings["key"])

    def begin(self, stamp: Stamp, machine: dict[str, Any]) -> Sitting:
        """A new sitting, written before anything runs."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.sittings.append(Sitting(started=now, plan=stamp.plan, commit=stamp.commit, machine=machine))
        self.save()
        return self.sittings[-1]

    def save(self) -> None:
        """Replace the file in one step."""
        content = {name: value for name, value in asdict(self).items() if name != "file"}
        write_atomic(self.file, json.dumps({"schema": _SCHEMA, **content}, indent=1) + "\n")


def record_file(out: Path, key: str) -> Path:
    """Of a run."""
    return out / "records" / f"{key}.json"


def open_record(out: Path, run: Run) -> Record:
    """The record of a run, new or to be gone on with.

    Raises:
        ConfigError: the folder has another run by this name, or one that was made without a record.
    """
    file, settings = record_file(out, run.key), json.loads(json.dumps(run.settings))
    if not file.is_file():
        if (out / run.key / "config.json").is_file():
            raise ConfigError(
                f"{out / run.key}: expected a run with a record; this one was made without, name another folder"
            )
        return Record(file=file, settings=settings)
    found = read_record(file)
    different = sorted(name for name in settings if settings[name] != found.settings.get(name))
    if different:
        raise ConfigError(f"{file}: holds a run with another {', '.join(different)}; name another folder")
    return found


def read_record(file: Path) -> Record:
    """Raises InputError: it is not a record."""
    try:
        content = json.loads(file.read_text())
        if content.pop("schema") != _SCHEMA:
            raise ValueError("another schema")
        sittings = [Sitting(**sitting) for sitting in content.pop("sittings")]
        return Record(file=file, sittings=sittings, **content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: expected the record of a run; {error}") from error


def read_records(out: Path) -> dict[str, Record]:
    """All of a folder, by key."""
    found = [read_record(file) for file in sorted((out / "records").rglob("*.json"))]
    return {record.key: record for record in found}
