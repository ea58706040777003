"""Working through a plan's queue: one process after the other, each for at most twenty minutes, in any number of calls.

What is done is what the records say, so a call that ends, however it ends, is gone on with by the next one. Processes
pause by themselves while somebody measures (``study_work``).
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

from measuring.machine import LOCK, alone
from measuring.processes import end_group, start
from measuring.study_plan import Plan, Trial
from measuring.study_queue import Run, choices, queue
from measuring.study_record import Record, Stamp, read_records
from measuring.study_work import STOPPED

from pi_system.errors import ConfigError, PiError
from pi_system.train.data import DataConfig
from pi_system.train.loop import Interrupted

SITTING_S: Final = 20 * 60
_KILL_S: Final = 60.0
_TEACHER: Final = 1.4
"""What distillation costs: a step also runs the teacher forward."""


class RunFailedError(PiError):
    """A run ended with an error of its own; it is on stderr."""

    exit_code = 81


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a plan stands: finished runs, the ones to come in their order, and core-hours left, by block."""

    done: tuple[Run, ...]
    left: tuple[Run, ...]
    skipped: tuple[Run, ...]
    core_hours: float
    left_core_hours: Mapping[str, float]


def progress(plan: Plan, out: Path, *, cuda: bool = False) -> Progress:
    """From the records in ``out``; runs of blocks that need CUDA are skipped without it."""
    records = read_records(out)
    runs = queue(plan, chosen(plan, records))
    skipped = {block.name for block in plan.blocks if block.needs == "cuda" and not cuda}
    finished = {key for key, record in records.items() if record.result is not None}
    done, open_ = ([run for run in runs if (run.key in finished) is there] for there in (True, False))
    left = [run for run in open_ if run.block not in skipped]
    return Progress(
        done=tuple(done),
        left=tuple(left),
        skipped=tuple(run for run in open_ if run.block in skipped),
        core_hours=sum(record.core_seconds for record in records.values()) / 3600,
        left_core_hours={name: s / 3600 for name, s in _estimate(plan, done, left, records).items()},
    )


def chosen(plan: Plan, records: dict[str, Record]) -> dict[str, Trial]:
    """What finished trials chose."""
    done = {key: record.result for key, record in records.items() if key.startswith("trial/") and record.result}
    return choices(plan, {key: result.get("test_accuracy") for key, result in done.items()})


def _estimate(plan: Plan, done: Iterable[Run], left: Iterable[Run], records: dict[str, Record]) -> dict[str, float]:
    """Core-seconds left: as much as finished runs of a kind took on average, else the plan's rate by epoch."""
    seen: dict[tuple[str, ...], list[float]] = {}
    for run in done:
        for kind in _kinds(run):
            seen.setdefault(kind, []).append(records[run.key].core_seconds)
    total: dict[str, float] = {}
    for run in left:
        known = next((seen[kind] for kind in _kinds(run) if kind in seen), None)
        spent = records[run.key].core_seconds if run.key in records else 0.0
        more = (fmean(known) if known else _expected(plan, run)) - spent
        total[run.block] = total.get(run.block, 0.0) + max(0.0, more)
    return total


def _kinds(run: Run) -> tuple[tuple[str, ...], ...]:
    """From the closest likeness to the widest."""
    like = (run.kind, run.network, str(run.recipe["epochs"]))
    return ((*like, run.method, json.dumps(dict(run.options))), like) if run.kind == "reduce" else (like,)


def _expected(plan: Plan, run: Run) -> float:
    epochs = float(run.recipe["epochs"])
    if run.kind == "reduce":
        more = sum(float(run.options.get(name, 0)) for name in ("search_epochs", "extra_epochs"))
        return plan.networks[run.network] * _TEACHER * (epochs + more)
    return (
        plan.networks[run.network] * {"train": 1.0, "criticality": 5 * _TEACHER, "sensitivity": 0.1}[run.kind] * epochs
    )


def run_plan(
    plan: Plan,
    out: Path,
    data: str | None,
    stamp: Callable[[], Stamp],
    *,
    threads: int = 2,
    until: Callable[[], bool] = lambda: False,
    report: Callable[[str], None] = lambda line: None,
    cuda: bool = False,
    lock: Path = LOCK,
) -> None:
    """Go on with a plan until everything is done or ``until`` says so between two sittings.

    Args:
        plan: what to run.
        out: folder of all runs and records; one call at a time has it.
        data: folder of the pictures, None for digits.
        stamp: asked before every sitting; raises where the run could not count.
        threads: of each process.
        until: whether to end.
        report: called with a line for every sitting.
        cuda: also run blocks that need it.
        lock: that measurements hold.

    Raises:
        RunFailedError: a run failed.
        Interrupted: stopped; the same call goes on.
    """
    out.mkdir(parents=True, exist_ok=True)
    with alone(out / "lock"):
        while not until():
            state = progress(plan, out, cuda=cuda)
            if not state.left:
                return
            run = state.left[0]
            told = {"out": str(out), "threads": threads, "lock": str(lock), "run": asdict(run)}
            told |= {"stamp": asdict(stamp()), "data": asdict(plan.data_config(data, judged_on=run.judged_on))}
            ended = _sit(json.dumps(told))
            report(f"{run.key}: {'finished' if ended else 'saved, to be gone on with'}; {len(state.left) - ended} left")


def _sit(told: str) -> bool:
    """Whether the run is finished; else it was stopped after SITTING_S. Raises RunFailedError, Interrupted."""
    command, pipes = [sys.executable, "-m", "measuring.study_work"], {"stdin": subprocess.PIPE, "text": True}
    # It leads a session of its own: Ctrl-C reaches this process, which then has the run saved.
    child = start(command, None, None, stdout=subprocess.DEVNULL, **pipes)
    with child:
        try:
            if child.stdin is not None:
                with suppress(BrokenPipeError):  # it ended at once; its code says why
                    child.stdin.write(told + "\n")
                    child.stdin.flush()
            child.wait(SITTING_S)
        except subprocess.TimeoutExpired:
            end_group(child, _KILL_S)
        except KeyboardInterrupt as asked:
            end_group(child, _KILL_S)
            raise Interrupted("stopped; the same command goes on") from asked
    if child.returncode not in (0, STOPPED, -signal.SIGTERM):
        raise RunFailedError(f"run: expected it to finish; it ended with {child.returncode}, see above")
    return child.returncode == 0


def data_path(text: str, plan: Plan) -> str | None:
    """The folder in NAME:PATH. Raises ConfigError: these are not the plan's data."""
    given = DataConfig.parse(text)
    if given.name != plan.data["name"]:
        raise ConfigError(f"--data: expected {plan.data['name']}, the plan's; found {given.name}")
    return given.path


def hours_from_now(hours: float | None) -> Callable[[], bool]:
    """Whether so many hours are over; None: never."""
    end_s = time.monotonic() + (hours or 0) * 3600
    return lambda: hours is not None and time.monotonic() >= end_s
