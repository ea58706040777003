"""Dealer and server as real processes: ready when the block starts, gone with all their children when it ends.

They are started through their own command lines by this interpreter, on a free port, in a session of their own: the
terminal's Ctrl-C reaches the caller only, which then ends them in order.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from pi_system.backends.registry import BACKENDS
from pi_system.errors import PeerUnavailableError
from pi_system.program.reveal import Reveal

__all__ = ["RunningProgram", "child_environment", "end_group", "party_cores", "pinned", "start_dealer", "start_server"]

STARTUP_TIMEOUT_S: Final = 120.0
"""Importing torch and CrypTen takes seconds, on a busy machine many."""
_GRACE_S: Final = 3.0
_POLL_S: Final = 0.02
_LOG_TAIL_LINES: Final = 5
_SOURCE: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProgram:
    """A program that listens.

    Attributes:
        pid: of its main process, which leads its own process group.
        address: HOST:PORT.
        log: file with what it wrote to stderr.
        store: its private folder, empty for a dealer.
    """

    pid: int
    address: str
    log: Path
    store: Path


def party_cores() -> dict[str, int]:
    """The core of each party: two different ones where this process may use two."""
    usable = sorted(os.sched_getaffinity(0))
    return {"server": usable[0], "client": usable[1] if len(usable) > 1 else usable[0]}


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
    """This process's environment for a child that imports this package, installed or not.

    Args:
        threads: limit of the thread pools of numerical libraries; None: their default.
    """
    paths = [str(_SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if threads is not None:
        found |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return found


@contextmanager
def start_dealer(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    keys: Path | None = None,
    core: int | None = None,
    prefix: Sequence[str] = (),
    startup_timeout_s: float = STARTUP_TIMEOUT_S,
) -> Iterator[RunningProgram]:
    """A running ``pi-dealer``.

    Args:
        folder: for its log; made if needed.
        host: it listens on.
        keys: folder of ``write_keys``; None: plaintext.
        core: it is pinned to; None: any.
        prefix: command put in front of its own, such as ``ip netns exec NAME``.
        startup_timeout_s: how long it may take to get ready.

    Raises:
        PeerUnavailableError: it ended, or did not get ready in time; with the end of its log.
    """
    arguments = ["pi_system.cli.dealer", "serve", "--listen", f"{host}:0", *_link("dealer", keys)]
    with _program("pi-dealer", arguments, folder, core, None, prefix, startup_timeout_s) as running:
        yield running


@contextmanager
def start_server(
    artifact: Path,
    dealer: str,
    folder: Path,
    *,
    backends: Sequence[str] = (),
    max_sessions: int = 4,
    timeout_s: float = 120.0,
    allow_profile: bool = False,
    reveal: Reveal = "logits",
    host: str = "127.0.0.1",
    keys: Path | None = None,
    core: int | None = None,
    threads: int | None = None,
    prefix: Sequence[str] = (),
    startup_timeout_s: float = STARTUP_TIMEOUT_S,
) -> Iterator[RunningProgram]:
    """A running ``pi-server``.

    Args:
        artifact: folder of the model.
        dealer: HOST:PORT of the dealer.
        folder: for its log and its store; made if needed.
        backends: allowed ones; none: all, the baseline too.
        max_sessions: sessions at once.
        timeout_s: how long it waits for a silent client.
        allow_profile: it gives its half of profiles.
        reveal: the most it reveals; logits, not the program's default, because results are compared with them.
        host: it listens on.
        keys: as for ``start_dealer``.
        core: it is pinned to; None: any.
        threads: of numerical libraries; None: their default.
        prefix: as for ``start_dealer``.
        startup_timeout_s: how long it may take to get ready.

    Raises:
        PeerUnavailableError: as for ``start_dealer``.
    """
    arguments = ["pi_server.cli", "serve", "--artifact", str(artifact), "--listen", f"{host}:0", "--dealer", dealer]
    arguments += ["--store", str(folder / "server-store"), "--max-sessions", str(max_sessions)]
    arguments += ["--timeout", str(timeout_s), "--reveal", reveal, *_link("server", keys)]
    if allow_profile:
        arguments.append("--allow-profile")
    for backend in backends or BACKENDS:
        arguments += ["--backend", backend]
    with _program("pi-server", arguments, folder, core, threads, prefix, startup_timeout_s) as running:
        yield running


def _link(role: str, keys: Path | None) -> list[str]:
    return ["--insecure"] if keys is None else ["--keys", str(keys / role)]


@contextmanager
def _program(
    name: str,
    arguments: list[str],
    folder: Path,
    core: int | None,
    threads: int | None,
    prefix: Sequence[str],
    startup_timeout_s: float,
) -> Iterator[RunningProgram]:
    folder.mkdir(parents=True, exist_ok=True)
    out_path, log_path = folder / f"{name}.out", folder / f"{name}.log"
    with ExitStack() as stack:
        out: IO[bytes] = stack.enter_context(open(out_path, "wb"))
        log: IO[bytes] = stack.enter_context(open(log_path, "wb"))
        with pinned(core):
            process = subprocess.Popen(
                [*prefix, sys.executable, "-u", "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=child_environment(threads),
                start_new_session=True,
            )
        stack.callback(end_group, process)
        address = _await_ready(name, process, out_path, log_path, startup_timeout_s)
        yield RunningProgram(pid=process.pid, address=address, log=log_path, store=folder / "server-store")


def _await_ready(name: str, process: "subprocess.Popen[bytes]", out: Path, log: Path, timeout_s: float) -> str:
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
