"""Where processes run and how they end. Needs Linux.

Each leads a session of its own: the terminal's Ctrl-C reaches the caller only, which then ends them in order.
"""

import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import psutil
from measuring import BENCHMARKS, ROOT
from measuring.memory import peak_memory_bytes

from pi_system.errors import ConfigError

_GRACE_S: Final = 3.0


def party_cores() -> dict[str, int]:
    """The core of each party: two different ones where this process may use two."""
    usable = sorted(os.sched_getaffinity(0))
    return {"server": usable[0], "client": usable[1] if len(usable) > 1 else usable[0]}


Reach = tuple[Path | None, tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the two parties run.

    Of server and client: ``hosts`` as the other sees them, ``prefixes`` in front of their commands, such as ``ip netns
    exec NAME``. ``link`` is what our channel imitates, ``loopback`` where the link itself is emulated; ``keys``: folder
    of ``write_keys``, None for plaintext; ``pinned``: each on its own core with one thread, else both use every core;
    ``line``: small online phases may take a connection of their own (pi_system/rpc/line_ends.py); ``each``: cores that
    every program computes with, None: those that it may run on.
    """

    name: str = "loopback"
    link: str = "loopback"
    hosts: tuple[str, str] = ("127.0.0.1", "127.0.0.1")
    prefixes: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    keys: Path | None = None
    pinned: bool = True
    line: bool = True
    each: int | None = None

    @property
    def imitated(self) -> bool:
        """Whether the link exists only in our channel, so that another system's bytes do not see it."""
        return self.link != "loopback"

    @property
    def reach(self) -> Reach:
        """What dealer it can have."""
        return self.keys, self.hosts

    @property
    def cores(self) -> tuple[int | None, int | None]:
        """Of server and client."""
        cores = party_cores()
        return (cores["server"], cores["client"]) if self.pinned else (None, None)

    @property
    def threads(self) -> int | None:
        """Of numerical libraries, None: their default."""
        return 1 if self.pinned else None


HERE: Final = Site()


def emulated(name: str, keys: Path, options: Mapping[str, str]) -> Site:
    """Both ends of an emulated link, as documents.emulated_options give them. Raises ConfigError: one is missing."""
    server, client = (tuple(shlex.split(options[f"{end}_prefix"])) for end in ("server", "client"))
    if not server or not client:
        raise ConfigError("expected --server-prefix and --client-prefix: the two ends of an emulated link")
    hosts = (options["server_host"], options["client_host"])
    return Site(name=name, prefixes=(server, client), hosts=hosts, keys=keys)


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Keep the calling thread, and processes started in the block for good, on one core; None: as they are."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def child_environment(threads: int | None = None) -> dict[str, str]:
    """This process's environment for a child that imports these packages; ``threads``: of numerical libraries."""
    paths = [str(ROOT), str(BENCHMARKS), *filter(None, [os.environ.get("PYTHONPATH")])]
    limit = {} if threads is None else dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **limit}


def start(command: Sequence[str], core: int | None, threads: int | None, **options: Any) -> "subprocess.Popen[Any]":
    """A process that leads its own group, pinned, with ``options`` of Popen."""
    with pinned(core):
        return subprocess.Popen(list(command), env=child_environment(threads), start_new_session=True, **options)


def end_group(process: "subprocess.Popen[Any]", grace_s: float = _GRACE_S) -> None:
    """End a process that leads its own group: asked first, then killed, with whatever is left of the group."""
    if process.returncode is not None:
        return
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    with suppress(ProcessLookupError):  # of the group nobody is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def orderly_stop() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt, so that no process is left behind."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def descendants(pid: int) -> list[int]:
    """Children of ``pid``, their children, and so on; none if it is gone."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def peak_of_descendants_bytes(pid: int) -> int:
    """The largest peak among the processes below ``pid``; 0 if there are none."""
    return max(map(peak_memory_bytes, descendants(pid)), default=0)


def free_port() -> int:
    """A port that was free a moment ago: some parties must know both ports beforehand."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
