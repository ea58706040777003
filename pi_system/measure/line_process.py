"""A process that answers lines of JSON on its stdin with lines of JSON on its stdout, seen from a benchmark.

At most one answer may be outstanding: a second one that arrived with the first would be in a buffer, unseen.
"""

import json
import select
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pi_system.errors import PeerUnavailableError
from pi_system.measure.processes import child_environment, end_group, pinned

__all__ = ["LineProcess"]

TIMEOUT_S = 600.0


class LineProcess:
    """A context manager that ends the process and everything that it started."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        core: int | None = None,
        threads: int = 1,
        environment: dict[str, str] | None = None,
        goodbye_s: float = 0.0,
    ):
        """Start it; its first line is a greeting to be read with ``answer``.

        Args:
            name: for messages.
            command: program and arguments.
            log: file for its stderr.
            core: it is pinned to; None: any.
            threads: of numerical libraries.
            environment: variables to set besides.
            goodbye_s: how long it may take to end by itself when its stdin is closed.
        """
        self.name, self._log, self._goodbye_s = name, log, goodbye_s
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "wb") as stderr, pinned(core):
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=child_environment(threads) | (environment or {}),
                start_new_session=True,
            )

    def ask(self, command: dict[str, Any], timeout_s: float | None = TIMEOUT_S) -> dict[str, Any]:
        """Send a command and wait for its answer. Raises PeerUnavailableError."""
        self.tell(command)
        return self.answer(timeout_s)

    def tell(self, command: dict[str, Any]) -> None:
        """Send a command. Raises PeerUnavailableError: the process is gone."""
        pipe = self._pipe(self._process.stdin)
        try:
            pipe.write(json.dumps(command) + "\n")
            pipe.flush()
        except (BrokenPipeError, ValueError):
            raise PeerUnavailableError(f"{self.name}: expected it to run, found it gone{self._tail()}") from None

    def answer(self, timeout_s: float | None = TIMEOUT_S) -> dict[str, Any]:
        """Wait for the next answer, None: for ever. Raises PeerUnavailableError: silence, the end, an error in it."""
        pipe = self._pipe(self._process.stdout)
        if not select.select([pipe], [], [], timeout_s)[0]:
            raise PeerUnavailableError(f"{self.name}: expected an answer, found silence for {timeout_s:g} s")
        line = pipe.readline()
        if not line:
            raise PeerUnavailableError(f"{self.name}: expected an answer, found that it ended{self._tail()}")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise PeerUnavailableError(f"{self.name}: {found['error']}")
        return found

    def close(self) -> None:
        """End it; safe to call twice."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self._goodbye_s)
            end_group(self._process)
        finally:
            if self._process.returncode is None:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _pipe(self, pipe: IO[str] | None) -> IO[str]:
        if pipe is None:
            raise PeerUnavailableError(f"{self.name}: expected pipes, found none")
        return pipe

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-3:]
        return f"; its log ends: {' | '.join(lines)}" if lines else ""
