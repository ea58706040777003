"""Processes that answer lines of JSON on their stdin with lines of JSON on their stdout, seen from a benchmark.

At most one answer may be outstanding: a second one that arrived with the first would be in a buffer, unseen.
"""

import json
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self, cast

from measuring.processes import Site, end_group, start

from pi_system.errors import PeerUnavailableError

Message = dict[str, Any]
_ENDING_S = 60.0
_TAIL_LINES = 5


class LineProcess:
    """A context manager that ends the process and everything that it started."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        core: int | None = None,
        threads: int | None = 1,
        goodbye_s: float = 0.0,
    ):
        """Start it; its first line is a greeting to be read with ``answer``.

        Its stderr goes to ``log``; with its stdin closed it may take ``goodbye_s`` to end by itself.
        """
        self.name, self._log, self._goodbye_s = name, log, goodbye_s
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "wb") as stderr:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stderr, "text": True}
            self._process = start(command, core, threads, **pipes)
        self.pid = self._process.pid
        self._in, self._out = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)

    def ask(self, command: Message, timeout_s: float | None = 600.0) -> Message:
        """Send a command and wait for its answer. Raises PeerUnavailableError."""
        self.tell(command)
        return self.answer(timeout_s)

    def tell(self, command: Message) -> None:
        """Send a command. Raises PeerUnavailableError: the process is gone."""
        try:
            self._in.write(json.dumps(command) + "\n")
            self._in.flush()
        except (BrokenPipeError, ValueError):
            raise self.failed("it gone") from None

    def answer(self, timeout_s: float | None = 600.0) -> Message:
        """Wait for the next answer, None: for ever. Raises PeerUnavailableError: silence, the end, an error in it."""
        return answers([self], timeout_s)[0]

    def fileno(self) -> int:
        """Of its answers."""
        return int(self._out.fileno())

    def line(self, timeout_s: float | None) -> str:
        """The next line as it is. Raises PeerUnavailableError: silence or the end."""
        if not select.select([self], [], [], timeout_s)[0]:
            raise self.failed(f"silence for {timeout_s:g} s")
        if not (line := self._out.readline()):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_ENDING_S)
            raise self.failed(f"its end with code {self._process.returncode}")
        return line

    def failed(self, what: str) -> PeerUnavailableError:
        """What to raise, with the end of its log."""
        lines = self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return PeerUnavailableError(f"{self.name}: expected an answer, found {what}; its log ends: {' | '.join(lines)}")

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def close(self) -> None:
        """End it; safe to call twice."""
        self._in.close()
        self._out.close()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self._goodbye_s)
            end_group(self._process)
        finally:
            if self._process.returncode is None:
                self._process.kill()
                self._process.wait()

    def __exit__(self, *error: object) -> None:
        """Close."""
        self.close()


def answers(processes: Sequence[LineProcess], timeout_s: float | None = 600.0) -> list[Message]:
    """The next answer of each; whichever fails first ends the wait. Raises PeerUnavailableError."""
    found: dict[LineProcess, Message] = {}
    while waiting := [process for process in processes if process not in found]:
        if not (ready := select.select(waiting, [], [], timeout_s)[0]):
            raise waiting[0].failed(f"silence for {timeout_s:g} s")
        for process in ready:
            found[process] = json.loads(process.line(None))
            if "error" in found[process]:
                raise PeerUnavailableError(f"{process.name}: {found[process]['error']}")
    return [found[process] for process in processes]


ROLES = ("server", "client")


@contextmanager
def party_pair(name: str, commands: Sequence[Sequence[str]], site: Site, folder: Path) -> Iterator[list[LineProcess]]:
    """Server and client where ``site`` has them, logs in ``folder``; both end with the block."""
    with ExitStack() as stack:
        pair = []
        for role, command, prefix, core in zip(ROLES, commands, site.prefixes, site.cores, strict=True):
            log = folder / f"{name}-{role}.log".replace(":", "-")
            party = LineProcess(f"{name} {role}", [*prefix, *command], log=log, core=core, threads=site.threads)
            pair.append(stack.enter_context(party))
        yield pair


def run_parties(function: Callable[..., Message], site: Site, folder: Path, **task: Any) -> Message:
    """``function(role, **task)`` of a benchmark in a process of each role; what it returns at the client."""
    script = f"import json, sys, {function.__module__} as program; task = json.loads(sys.argv[1]); "
    script += f"print(json.dumps(program.{function.__name__}(**task)), flush=True)"
    commands = [[sys.executable, "-c", script, json.dumps({"role": role, **task})] for role in ROLES]
    with party_pair(site.name, commands, site, folder) as pair:
        return answers(pair, None)[1]
