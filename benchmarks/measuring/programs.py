"""Dealer and server as real processes: ready when the block starts, gone with all their children when it ends.

They are started through their own command lines by this interpreter, on a free port.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from measuring.line_process import LineProcess
from measuring.processes import HERE, Site

from pi_system.backends.registry import BACKENDS
from pi_system.errors import PeerUnavailableError
from pi_system.program.reveal import Reveal

STARTUP_TIMEOUT_S: Final = 120.0
"""Importing torch and CrypTen takes seconds, on a busy machine many."""
TIMEOUT_S: Final = 3600.0
"""A session waits idle while the others have their turn, over slow links for minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProgram:
    """A program that listens: its process, which leads a group of its own, and its store (a dealer has none)."""

    pid: int
    address: str
    store: Path


def start_dealer(
    folder: Path,
    *,
    site: Site = HERE,
    core: int | None = None,
    startup_timeout_s: float = STARTUP_TIMEOUT_S,
    options: Sequence[str] = (),
) -> AbstractContextManager[RunningProgram]:
    """A running ``pi-dealer`` on the server's host, its log in ``folder``; ``options``: more of ``serve``.

    Raises:
        PeerUnavailableError: it ended, or did not get ready in time; with the end of its log.
    """
    arguments = ["pi_system.cli.dealer", "serve", *_reachable("dealer", site), *_computing(site), *options]
    return _program("pi-dealer", arguments, folder, site, core, None, startup_timeout_s)


def start_server(
    artifact: Path,
    dealer: str,
    folder: Path,
    *,
    backends: Sequence[str] = (),
    max_sessions: int = 1,
    reveal: Reveal = "logits",
    site: Site = HERE,
    program_options: Sequence[str] = (),
    options: Sequence[str] = (),
) -> AbstractContextManager[RunningProgram]:
    """A running ``pi-server``, which reveals logits where nothing else is said: results are compared with them.

    ``folder`` is for its log and its store; ``backends``: those allowed, none for all; ``program_options`` stand before
    ``serve`` and ``options`` behind it, where they have the last word. Errors as ``start_dealer``.
    """
    program = ["pi_server.cli"] if site.link == "loopback" else ["measuring.shaped_server", site.link]
    arguments = [*program, *program_options, "serve", *_reachable("server", site)]
    arguments += ["--artifact", str(artifact), "--dealer", dealer]
    arguments += ["--max-sessions", str(max_sessions), "--reserved", "0", "--drain", "1", "--reveal", reveal]
    arguments += [f"--{name}={TIMEOUT_S}" for name in ("timeout", "infer-limit", "prepare-limit")]
    arguments += [f"--backend={backend}" for backend in backends or BACKENDS]
    arguments += ["--store", str(folder / "server-store"), *_computing(site), *options]
    return _program("pi-server", arguments, folder, site, site.cores[0], site.threads, STARTUP_TIMEOUT_S)


def _reachable(role: str, site: Site) -> list[str]:
    keys = ["--insecure"] if site.keys is None else ["--keys", str(site.keys / role)]
    return ["--listen", f"{site.hosts[0]}:0", *keys]


def _computing(site: Site) -> list[str]:
    return [] if site.each is None else ["--threads", str(site.each)]


@contextmanager
def _program(
    name: str,
    arguments: Sequence[str],
    folder: Path,
    site: Site,
    core: int | None,
    threads: int | None,
    startup_timeout_s: float,
) -> Iterator[RunningProgram]:
    command = [*site.prefixes[0], sys.executable, "-u", "-m", *arguments]
    with LineProcess(name, command, log=folder / f"{name}.log", core=core, threads=threads) as process:
        line = process.line(startup_timeout_s)
        if (found := re.match(rf"{name}: listening on (\S+:\d+)\b", line)) is None:
            raise PeerUnavailableError(f"{name}: expected its ready line, found {line.strip()}")
        yield RunningProgram(pid=process.pid, address=found[1], store=folder / "server-store")
