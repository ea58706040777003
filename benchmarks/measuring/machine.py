"""One measurement at a time, on an idle machine: a lock that names its holder, and a watch over other processes.

Every command that measures is decorated by ``measures``. Work that takes long respects the same lock, an flock on
``LOCK``, free as soon as its holder is gone, however that ended: it pauses while the lock is ``held``.
"""

import fcntl
import functools
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import click
import psutil
from measuring.environment import Environment, Load, Others, environment
from measuring.processes import descendants, orderly_stop

from pi_system.errors import PiError

LOCK: Final = Path(tempfile.gettempdir()) / "pi-system-measuring.lock"
BUSY: Final = 0.05
"""Share of a core from which on another process counts: an idle desktop stays below."""
_BEFORE_S: Final = 2.0
_LEAST_S: Final = 1.0
"""Processors are accounted in ticks of 10 ms: of a shorter time a share says nothing, it waits for the next look."""
_GLANCE_S: Final = 0.02
"""Whoever looks whether the lock is held has it for an instant, which is not worth a refusal."""
_EVERY_S: Final = 10.0
"""Between two looks at all processes, which take some 10 ms."""


class MachineBusyError(PiError):
    """Another measurement runs, or other work; the message says which."""

    exit_code = 80


class Watch:
    """What processes outside of this one's tree use."""

    def __init__(self) -> None:
        """Look for the first time."""
        self._seen, self._at_s = _cpu_seconds(), time.monotonic()

    def look(self) -> Others:
        """The share of a core of each that used more than ``BUSY`` since the last look, by name."""
        if time.monotonic() - self._at_s < _LEAST_S:
            return Others()
        before, start_s = self._seen, self._at_s
        self._seen, self._at_s = _cpu_seconds(), time.monotonic()
        own, found = {os.getpid(), *descendants(os.getpid())}, Others()
        for process, (name, used_s) in self._seen.items():
            share = (used_s - before.get(process, (name, 0.0))[1]) / (self._at_s - start_s)
            if share > BUSY and process.pid not in own:
                found[name] = round(max(share, found.get(name, 0.0)), 2)
        return found


def _cpu_seconds() -> dict[psutil.Process, tuple[str, float]]:
    """Name and seconds on a core of every process; those that are gone, or hidden, have none."""
    found = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        if (times := process.info["cpu_times"]) is not None:
            found[process] = process.info["name"], times.user + times.system
    return found


class Measurement:
    """A run under way: what the machine did in the seconds before it, and what other processes did since."""

    def __init__(self) -> None:
        """Look at the machine for two seconds."""
        self._load: Load = os.getloadavg()
        self._watch = Watch()
        time.sleep(_BEFORE_S)
        self.before, self._during = self._watch.look(), Others()
        self._lock, self._ended = threading.Lock(), threading.Event()

    def environment(self, *, pinned_cores: dict[str, int] | None = None, threads: int = 1) -> Environment:
        """What everything so far was measured on."""
        self._look()
        seen = {"others_before": self.before, "others_during": self._during}
        return environment(load_before=self._load, pinned_cores=pinned_cores, threads=threads, **seen)

    def report(self, question: str, **fields: Any) -> dict[str, Any]:
        """The JSON object of a measurement without a schema of its own, environment included."""
        about = self.environment(**fields.pop("parties", {}))
        return {"schema": 1, "question": question, **fields, "environment": about.model_dump(mode="json")}

    def _look(self) -> None:
        with self._lock:
            for name, share in self._watch.look().items():
                self._during[name] = max(share, self._during.get(name, 0.0))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look every now and then, so that what has ended by the end of the run is seen, too."""

        def work() -> None:
            while not self._ended.wait(_EVERY_S):
                self._look()

        threading.Thread(target=work, daemon=True).start()
        try:
            yield
        finally:
            self._ended.set()


@contextmanager
def alone(lock: Path, *, wait: bool = False, shared: bool = False) -> Iterator[None]:
    """Hold the lock; ``wait`` for who has it, or go on beside it if ``shared``. Raises MachineBusyError: who has it."""
    with open(os.open(lock, os.O_RDWR | os.O_CREAT, 0o666), "r+") as file:
        if not _taken(file, wait):
            if not shared:
                raise MachineBusyError(f"expected nobody else to measure, found {file.read().strip()}")
        else:
            file.truncate()
            file.write(f"process {os.getpid()}: {' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}\n")
            file.flush()
        yield


def _taken(file: IO[str], wait: bool) -> bool:
    for _ in range(2):
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_GLANCE_S)
        else:
            return True
    return False


def held(lock: Path) -> bool:
    """Whether somebody measures."""
    try:
        with open(lock) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def measurement(*, busy: bool = False, wait: bool = False) -> Iterator[Measurement]:
    """A run on a machine of its own, or, ``busy``, on this one as it is. Raises MachineBusyError."""
    with orderly_stop(), alone(LOCK, wait=wait, shared=busy):
        run = Measurement()
        if run.before and not busy:  # what pauses while the lock is held needs a moment to see it
            run = Measurement()
        if run.before and not busy:
            found = ", ".join(f"{name} at {share:.0%} of a core" for name, share in run.before.items())
            raise MachineBusyError(f"expected an idle machine, found {found}; --busy measures nevertheless")
        with run.watched():
            yield run


def measures(command: Callable[..., None]) -> Callable[..., None]:
    """A command's options --busy and --wait; its first argument is the ``Measurement``."""

    @click.option("--busy", is_flag=True, help="Measure beside other work, too; the JSON says what ran.")
    @click.option("--wait", is_flag=True, help="Wait until no other measurement runs.")
    @functools.wraps(command)
    def measured(*, busy: bool, wait: bool, **given: Any) -> None:
        with measurement(busy=busy, wait=wait) as run:
            command(run, **given)

    return measured
