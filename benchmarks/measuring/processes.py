"""Dealer and server as real processes: ready when the block starts, gone with all their children when it ends.

They are started through their own command lines by this interpreter, on a free port, in a session of their own: the
terminal's Ctrl-C reaches the caller only, which then ends them in order. Needs Linux.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import psutil
from measuring import BENCHMARKS, ROOT
from measuring.memory import peak_memory_bytes

from pi_system.backends.registry import BACKENDS
from pi_system.errors import PeerUnavailableError
from pi_system.program.reveal import Reveal

STARTUP_TIMEOUT_S: Final = 120.0
"""Importing torch and CrypTen takes seconds, on a busy machine many."""
TIMEOUT_S: Final = 3600.0
"""A session waits idle while the others have their turn, over slow links for minutes."""
_GRACE_S: Final = 3.0
_POLL_S: Final = 0.02
_LOG_TAIL_LINES: Final = 5


def party_cores() -> dict[str, int]:
    """The core of each party: two different ones where this process may use two."""
    usable = sorted(os.sched_getaffinity(0))
    return {"server": usable[0], "client": usable[1] if len(usable) > 1 else usable[0]}


Reach = tuple[Path | None, tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the two parties run.

    Of server and client: ``hosts`` as the other sees them, ``prefixes`` in front of their commands, such as ``ip netns
    exec NAME``. ``link`` is what our channel imitates, ``loopback`` where the link itself is emulated; ``keys``: folder
    of ``write_keys``, None for plaintext; ``pinned``: each on its own core with one thread, else both use every core.
    """

    name: str = "loopback"
    link: str = "loopback"
    hosts: tuple[str, str] = ("127.0.0.1", "127.0.0.1")
    prefixes: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    keys: Path | None = None
    pinned: bool = True

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


HERE: Final = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProgram:
    """A program that listens: its process, which leads a group of its own, its log, its store (a dealer has none)."""

    pid: int
    address: str
    log: Path
    store: Path


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


@contextmanager
def start_dealer(
    folder: Path, *, place: Place = HERE, core: int | None = None, startup_timeout_s: float = STARTUP_TIMEOUT_S
) -> Iterator[RunningProgram]:
    """A running ``pi-dealer`` on the server's host, its log in ``folder``.

    Raises:
        PeerUnavailableError: it ended, or did not get ready in time; with the end of its log.
    """
    arguments = ["pi_system.cli.dealer", "serve", "--listen", f"{place.hosts[0]}:0", *_keys("dealer", place)]
    with _program("pi-dealer", [*place.prefixes[0], *_PYTHON, *arguments], folder, core, None, startup_timeout_s) as it:
        yield it


@contextmanager
def start_server(
    artifact: Path,
    dealer: str,
    folder: Path,
    *,
    backends: Sequence[str] = (),
    max_sessions: int = 1,
    reveal: Reveal = "logits",
    place: Place = HERE,
) -> Iterator[RunningProgram]:
    """A running ``pi-server``, which reveals logits where nothing else is said: results are compared with them.

    ``folder`` is for its log and its store; ``backends``: those allowed, none for all. Errors as ``start_dealer``.
    """
    listen = ["--artifact", str(artifact), "--listen", f"{place.hosts[0]}:0", "--dealer", dealer]
    limits = ["--max-sessions", str(max_sessions), "--reserved", "0", "--drain", "1", "--reveal", reveal]
    limits += [word for name in ("--timeout", "--infer-limit", "--prepare-limit") for word in (name, str(TIMEOUT_S))]
    allowed = [word for backend in backends or BACKENDS for word in ("--backend", backend)]
    program = ["pi_server.cli"] if place.link == "loopback" else ["measuring.shaped_server", place.link]
    arguments = [*program, "serve", *listen, "--store", str(folder / "server-store"), *limits, *allowed]
    command = [*place.prefixes[0], *_PYTHON, *arguments, *_keys("server", place)]
    with _program("pi-server", command, folder, place.cores[0], place.threads, STARTUP_TIMEOUT_S) as running:
        yield running


_PYTHON: Final = (sys.executable, "-u", "-m")


def _keys(role: str, place: Place) -> list[str]:
    return ["--insecure"] if place.keys is None else ["--keys", str(place.keys / role)]


@contextmanager
def _program(
    name: str, command: list[str], folder: Path, core: int | None, threads: int | None, startup_timeout_s: float
) -> Iterator[RunningProgram]:
    folder.mkdir(parents=True, exist_ok=True)
    out_path, log_path = folder / f"{name}.out", folder / f"{name}.log"
    with ExitStack() as stack:
        out, log = (stack.enter_context(open(path, "wb")) for path in (out_path, log_path))
        process = start(command, core, threads, stdin=subprocess.DEVNULL, stdout=out, stderr=log)
        stack.callback(end_group, process)
        address = _await_ready(name, process, out_path, log_path, startup_timeout_s)
        yield RunningProgram(pid=process.pid, address=address, log=log_path, store=folder / "server-store")


def start(command: Sequence[str], core: int | None, threads: int | None, **options: Any) -> "subprocess.Popen[Any]":
    """A process that leads its own group, pinned, with ``options`` of Popen."""
    with pinned(core):
        return subprocess.Popen(list(command), env=child_environment(threads), start_new_session=True, **options)


def _await_ready(name: str, process: "subprocess.Popen[Any]", out: Path, log: Path, timeout_s: float) -> str:
    """The address in the program's ready line."""
    pattern = re.compile(rf"^{re.escape(name)}: listening on (\S+:\d+)\b.*\n", re.MULTILINE)
    deadline_s = time.monotonic() + timeout_s
    while (found := pattern.search(out.read_text())) is None:
        code = _exit_code(process.pid)
        if code is not None or time.monotonic() > deadline_s:
            tail = " | ".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
            what = f"that it ended with code {code}" if code is not None else f"silence for {timeout_s:g} s"
            raise PeerUnavailableError(f"{name}: expected its ready line, found {what}; its log ends: {tail}")
        time.sleep(_POLL_S)
    return found[1]


def end_group(process: "subprocess.Popen[Any]") -> None:
    """End a process that leads its own group: asked first, then killed, with whatever is left of the group."""
    if process.returncode is not None:
        return
    os.kill(process.pid, signal.SIGTERM)  # Popen.terminate would reap it when it has ended
    deadline_s = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline_s and _exit_code(process.pid) is None:
        time.sleep(_POLL_S)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _exit_code(pid: int) -> int | None:
    """How a child ended, None if it runs. It stays a zombie, so that its group's number is not given to a stranger."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None if ended is None else ended.si_status


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
