"""A server for as long as a block runs: the program ``pi-server serve`` as a process of its own, not an imitation."""

import logging
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from pi_system.errors import ConfigError, PiError, StorageError
from pi_system.program.reveal import Reveal
from pi_system.rpc.keys import VALID_DAYS, write_keys

__all__ = ["Server", "make_keys"]

_LOG = logging.getLogger(__name__)
_READY: Final = re.compile(r"listening on (\S+:\d+)")
_KEPT_LINES: Final = 100
_USAGE: Final = 2


def make_keys(folder: str | PathLike[str], days: int = VALID_DAYS) -> Path:
    """Make the TLS keys of all parties: ``folder/server``, ``folder/client``, ``folder/dealer``, ``folder/authority``.

    Raises:
        ConfigError: there are keys already; nothing is written then.
        InputError: the folder cannot be written.
    """
    write_keys(Path(folder), days)
    return Path(folder)


class Server:
    """A context manager: the server listens inside of the block. Its log goes to the logger ``pi_system.api.server``.

    Attributes:
        address: HOST:PORT where it listens; empty outside of the block.
    """

    def __init__(
        self,
        artifact: str | PathLike[str],
        *,
        listen: str = "127.0.0.1:0",
        keys: str | PathLike[str] | None = None,
        insecure: bool = False,
        reveal: Reveal = "label",
        backends: Sequence[str] = (),
        dealer: str | None = None,
        store: str | PathLike[str] | None = None,
        max_sessions: int = 4,
        drain_s: float = 5.0,
        arguments: Sequence[str] = (),
    ):
        """Nothing runs yet.

        Args:
            artifact: folder of the model, or ``builtin:NAME``.
            listen: HOST:PORT; port 0: any free one.
            keys: the server's folder of those that ``make_keys`` makes.
            insecure: plaintext, on this machine only; in the place of ``keys``.
            reveal: the most that a client may learn: label, scores or logits.
            backends: offered; none named: all but crypten.
            dealer: HOST:PORT, for backends that have one.
            store: private folder of material; None: the user's.
            max_sessions: at once, each a process.
            drain_s: sessions may go on for so long when the block ends.
            arguments: further options of ``pi-server serve``.
        """
        options: dict[str, object] = {"--artifact": artifact, "--listen": listen, "--reveal": reveal}
        options |= {"--max-sessions": max_sessions, "--drain": drain_s}
        options |= {"--dealer": dealer, "--keys": keys, "--store": store}
        self._arguments = [text for name, value in options.items() if value is not None for text in (name, str(value))]
        self._arguments += ["--insecure"] * insecure + [text for name in backends for text in ("--backend", name)]
        self._arguments += arguments
        self._drain_s = drain_s
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self.address = ""

    def __enter__(self) -> "Server":
        """Start, and wait until it listens.

        Raises:
            ConfigError, ArtifactError: as the program says; any PiError.
        """
        # -P: modules of the folder where a notebook lies are not the server's.
        command = [sys.executable, "-P", "-m", "pi_server.cli", "serve", *self._arguments]
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        except OSError as error:
            raise StorageError(f"server: cannot be started: {error.strerror}") from error
        self._process = process
        self._reader = threading.Thread(target=self._read, args=(process.stderr,), name="server-log", daemon=True)
        self._reader.start()
        found = _READY.search(process.stdout.readline() if process.stdout else "")
        if found is None:
            code = process.wait()
            self._end()
            raise _as_error(code, list(self._said))
        self.address = found[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let sessions end, then stop."""
        process, self.address = self._process, ""
        if process is None:
            return
        process.terminate()
        try:
            process.wait(self._drain_s + 10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._end()

    def _read(self, pipe: IO[str] | None) -> None:
        for line in pipe or ():
            self._said.append(line.rstrip("\n"))
            _LOG.info("%s", line.rstrip("\n"))

    def _end(self) -> None:
        if self._reader is not None:
            self._reader.join(5.0)
        for pipe in (self._process.stdout, self._process.stderr) if self._process else ():
            if pipe is not None:
                pipe.close()
        self._process = self._reader = None


def _as_error(code: int, said: list[str]) -> PiError:
    """What a program that ended with ``code`` said, as the error of that exit code."""
    message = next(
        (line for line in reversed(said) if line.lower().startswith("error: ")), "error: server: ended early"
    )
    text = message.partition(": ")[2]
    if code == _USAGE:
        return ConfigError(f"server: {text}")
    kinds: list[type[PiError]] = [PiError]
    for kind in kinds:
        if kind.exit_code == code:
            return kind(text)
        kinds += kind.__subclasses__()
    return PiError(f"{text} (exit code {code})")
