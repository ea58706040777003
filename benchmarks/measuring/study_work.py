"""The process of one sitting of a run: at low priority, paused while somebody measures, ended with its parent.

    python -m measuring.study_work        with a line of JSON on stdin, which stays open as long as the parent lives

It ends with 0 when the run is finished, with ``STOPPED`` when it was asked to stop and saved what it had, and otherwise
with the error's code and one line on stderr. A pause is between two steps: the main thread waits in a signal's handler,
so nothing is left behind stopped if the parent dies meanwhile.
"""

import json
import os
import platform
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, Final

import torch
from measuring.machine import alone, held
from measuring.study_queue import Run
from measuring.study_record import Record, Sitting, Stamp, open_record

from pi_system.errors import BudgetError, ConfigError, DivergedError, PiError
from pi_system.reduce.equalization import CRITICALITY_ORDER
from pi_system.reduce.job import reduce_run, task_of
from pi_system.reduce.pareto import criticality_run
from pi_system.reduce.sensitivity_report import sensitivity_report, spearman
from pi_system.train.config import TrainConfig
from pi_system.train.data import DataConfig
from pi_system.train.job import train_run
from pi_system.train.loop import Interrupted
from pi_system.train.run import RunDirectory

STOPPED: Final = 130
_NICE: Final = 15
_LOOK_S: Final = 0.25
_ACCOUNT_S: Final = 5.0
_SAVE_S: Final = 10.0
"""How long an orphan may take to save its run: a step of training and a checkpoint."""


def perform(run: Run, out: Path, data: DataConfig) -> dict[str, Any]:
    """Do or go on with a run; a budget out of reach, or a training that diverges, is a result, too.

    Raises:
        Interrupted: stopped; the run goes on from what was saved.
    """
    config, place, source = TrainConfig(**run.recipe), out / run.key, out / run.source
    if run.kind == "train":
        return figures_of(train_run(place, run.network, data, config), place)
    if run.kind == "reduce":
        try:
            result = reduce_run(source, place, run.method, run.options, config, budget=run.budget)
        except ConfigError as error:
            if isinstance(error, DivergedError) or isinstance(error.__cause__, BudgetError):
                return {"error": str(error)}
            raise
        return figures_of(result, place)
    if run.kind == "criticality":
        entries = criticality_run(source, place, config, epochs=config.epochs)
        shutil.rmtree(place, ignore_errors=True)
        found = {entry.stage: entry.criticality for entry in entries}
        claimed = [stage for stage in CRITICALITY_ORDER if stage in found]
        value = spearman([found[stage] for stage in claimed], [float(-rank) for rank in range(len(claimed))])
        return {"value": value, "stages": [asdict(entry) for entry in entries]}
    report = sensitivity_report(task_of(RunDirectory(source), 0, config))
    return {"value": -report.by_layer, **report.as_json()}


def figures_of(result: dict[str, Any], out: Path) -> dict[str, Any]:
    """What a study says of the finished run in ``out``; seconds are its epochs' wall time."""
    keys = ("network", "relus", "relu_layers", "macs", "parameters", "validation_accuracy", "test_accuracy")
    lines = (out / "metrics.jsonl").read_text().splitlines() if (out / "metrics.jsonl").is_file() else []
    seconds = [json.loads(line)["seconds"] for line in lines]
    return {key: result[key] for key in keys} | {"epochs": len(seconds), "seconds": round(sum(seconds), 1)}


class Watch:
    """A thread that accounts core-seconds, has the main thread pause while ``lock`` is held, and ends an orphan."""

    def __init__(self, record: Record, sitting: Sitting, lock: Path) -> None:
        """Of this process."""
        self._record, self._sitting, self._lock = record, sitting, lock
        self._ended, self._paused = threading.Event(), False
        self._began, self._thread = time.monotonic(), threading.Thread(target=self._work, daemon=True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While the run is at work."""
        signal.signal(signal.SIGUSR1, self._pause)
        signal.siginterrupt(signal.SIGUSR1, False)
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join()
            self._account()

    def _pause(self, _number: int, _frame: FrameType | None) -> None:
        """Wait until nobody measures, or the run is asked to stop (its handler then is another one)."""
        asked = signal.getsignal(signal.SIGTERM)
        while held(self._lock) and signal.getsignal(signal.SIGTERM) is asked:
            time.sleep(_LOOK_S)
        self._paused = False

    def _work(self) -> None:
        accounted = time.monotonic()
        main = threading.main_thread().ident or 0
        while not self._ended.is_set():
            if select.select([sys.stdin], [], [], _LOOK_S)[0]:
                self._end(main)
            if not self._paused and held(self._lock):
                self._paused = True
                signal.pthread_kill(main, signal.SIGUSR1)
            if time.monotonic() - accounted > _ACCOUNT_S:
                accounted = time.monotonic()
                self._account()

    def _end(self, main: int) -> None:
        self._account()
        signal.pthread_kill(main, signal.SIGTERM)
        if not self._ended.wait(_SAVE_S):
            os._exit(1)

    def _account(self) -> None:
        self._sitting.core_seconds = round(time.process_time(), 1)
        self._sitting.seconds = round(time.monotonic() - self._began, 1)
        self._record.save()


def main() -> int:
    """Read what to do, and do it."""
    told = json.loads(sys.stdin.readline())
    os.nice(_NICE)
    torch.set_num_threads(told["threads"])
    out, run, data = Path(told["out"]), Run(**told["run"]), DataConfig(**told["data"])
    machine: dict[str, Any] = {"torch": torch.__version__, "python": platform.python_version()}
    machine |= {"machine": platform.machine(), "cpus": os.cpu_count(), "threads": told["threads"]}
    try:
        with alone(out / "sitting.lock", wait=True):  # an orphan of an earlier call may still be saving
            record = open_record(out, run)
            sitting = record.begin(Stamp(**told["stamp"]), machine)
            with Watch(record, sitting, Path(told["lock"])).watching():
                record.result = perform(run, out, data)
    except Interrupted:
        return STOPPED
    except PiError as error:
        with suppress(OSError):
            sys.stderr.write(f"error: {run.key}: {' '.join(str(error).split())}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
