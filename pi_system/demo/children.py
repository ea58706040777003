"""Programs of this package as children of the demo: each ends when its standard input does."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

from pi_system.api.server import LISTENS, Server
from pi_system.demo.request import Request
from pi_system.errors import ConfigError, InvariantError

_PATIENCE_S: Final = 10.0


class Child:
    """``python -m MODULE ARGUMENTS``, from now on until ``stop``. Its stderr goes to a file."""

    def __init__(self, module: str, *arguments: str, log: Path):
        """Start it. Raises ConfigError: it cannot be started."""
        self._module, self._log = module, log
        command = [sys.executable, "-P", "-m", module, *arguments]
        pipe = subprocess.PIPE
        try:
            with open(log, "ab") as stderr:
                self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, text=True)
        except OSError as error:
            raise ConfigError(f"{module}: cannot be started: {error.strerror}") from error

    @property
    def alive(self) -> bool:
        """It runs."""
        return self._process.poll() is None

    def say(self, line: str) -> None:
        """To its standard input. Raises InvariantError: it is gone."""
        try:
            self._pipe(self._process.stdin).write(line + "\n")
            self._pipe(self._process.stdin).flush()
        except OSError:
            raise self._gone() from None

    def line(self) -> str:
        """The next line that it prints. Raises InvariantError: it is gone."""
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise self._gone()
        return line

    def address(self) -> str:
        """HOST:PORT of the line that says where it listens. Raises InvariantError: it says something else."""
        found = LISTENS.search(line := self.line())
        if found is None:
            raise InvariantError(f"{self._module}: expected a line with its address, found {line.strip()[:200]!r}")
        return found[1]

    def finish(self) -> None:
        """Wait until it ends by itself. Raises InvariantError: it failed."""
        if self._process.wait():
            raise self._gone()

    def stop(self) -> None:
        """End it; safe to call twice."""
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            self._pipe(pipe).close()

    def _pipe(self, pipe: IO[str] | None) -> IO[str]:
        if pipe is None:
            raise InvariantError(f"{self._module}: expected a pipe")
        return pipe

    def _gone(self) -> InvariantError:
        said = self._log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        return InvariantError(f"{self._module}: ended early: {said[-1][:300]}")


class ClientProcess(Child):
    """``client_process.py``."""

    def __init__(self, log: Path):
        """Started, not yet asked anything."""
        super().__init__("pi_system.demo.client_process", log=log)

    def run(self, request: Request) -> Iterator[dict[str, Any]]:
        """The events of an inference, the last one ``done`` or ``failed``. Raises InvariantError: it is gone."""
        self.say(json.dumps(asdict(request)))
        while True:
            event: dict[str, Any] = json.loads(self.line())
            if event["event"] != "ready":
                yield event
            if event["event"] in ("done", "failed"):
                return


class TappedServer(Server):
    """INSECURE: a server whose shares go to a file as well; see ``tapped_server.py``."""

    def __init__(self, artifact: str, shares: Path, **options: Any):
        """``shares``: that file; ``options`` are a server's."""
        super().__init__(artifact, **options)
        self._program = ("pi_system.demo.tapped_server", str(shares))
