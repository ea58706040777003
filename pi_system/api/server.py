"""A server for as long as a block runs: the program ``pi-server serve`` as a process of its own, not an imitation."""

import atexit
import logging
import os
import re
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from pi_system.api.guard import path, seconds, texts, typed
from pi_system.errors import ConfigError, LocalProtocolError, PiError, StorageError
from pi_system.program.reveal import Reveal
from pi_system.rpc.keys import VALID_DAYS, write_keys

__all__ = ["Server", "make_keys"]

_LOG = logging.getLogger(__name__)
LISTENS: Final = re.compile(r"listening on (\S+:\d+)")
"""What a program of this package says once it does, and where."""
_KEPT_LINES: Final = 100
_USAGE: Final = 2
_MOST_DAYS: Final = 3650
_STARTED: Final["weakref.WeakSet[Server]"] = weakref.WeakSet()


def make_keys(folder: str | PathLike[str], days: int = VALID_DAYS) -> Path:
    """Make the TLS keys of all parties: ``folder/server``, ``folder/client``, ``folder/dealer``, ``folder/authority``.

    Raises:
        ConfigError: there are keys already, or no such validity; nothing is written then.
        InputError: the folder cannot be written.
    """
    place = path("keys", folder)
    if not isinstance(days, int) or not 1 <= days <= _MOST_DAYS:
        raise ConfigError(f"days: expected 1 to {_MOST_DAYS}, found {days!r:.40}")
    with typed():
        write_keys(place, days)
    return place


class Server:
    """A context manager: the server listens inside of the block, or from ``start`` to ``stop``.

    Its log goes to the logger ``pi_system.api.server``. It stops when this process ends, however that ends; a process
    that was forked from this one has no part in it.

    Attributes:
        address: HOST:PORT where it listens; empty when it does not.
    """

    _program: Sequence[str] = ("pi_system.api.served",)
    """The module that runs, and what it takes before ``serve``."""

    def __init__(
        self,
        artifact: str | PathLike[str],
        *,
        listen: str = "127.0.0.1:0",
        keys: str | PathLike[str] | None = None,
        insecure: bool = False,
        reveal: Reveal = "label",
        backends: str | Sequence[str] = (),
        dealer: str | None = None,
        store: str | PathLike[str] | None = None,
        max_sessions: int = 4,
        drain_s: float = 5.0,
        arguments: str | Sequence[str] = (),
    ):
        """Nothing runs yet.

        Args:
            artifact: folder of the model, or ``builtin:NAME``.
            listen: HOST:PORT; port 0: any free one.
            keys: the server's folder of those that ``make_keys`` makes.
            insecure: plaintext, on this machine only; in the place of ``keys``.
            reveal: the most that a client may learn: label, scores or logits.
            backends: offered, one name or several; none named: all but crypten.
            dealer: HOST:PORT, for backends that have one.
            store: private folder of material; None: the user's.
            max_sessions: at once, each a process.
            drain_s: sessions may go on for so long when the block ends.
            arguments: further options of ``pi-server serve``.

        Raises:
            InputError: ``artifact`` is no path.
            ConfigError: ``drain_s`` is no time, ``backends`` or ``arguments`` no text.
        """
        options: dict[str, object] = {"--artifact": path("artifact", artifact), "--listen": listen, "--reveal": reveal}
        options |= {"--max-sessions": max_sessions, "--drain": drain_s}
        options |= {"--dealer": dealer, "--keys": keys, "--store": store}
        self._arguments = [text for name, value in options.items() if value is not None for text in (name, str(value))]
        self._arguments += ["--insecure"] * insecure
        self._arguments += [text for name in texts("backends", backends) for text in ("--backend", name)]
        self._arguments = texts("arguments", self._arguments) + texts("arguments", arguments)
        self._drain_s = seconds("drain_s", drain_s)
        self._process: subprocess.Popen[str] | None = None
        self._owner = os.getpid()
        self._reader: threading.Thread | None = None
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self.address = ""

    def __enter__(self) -> "Server":
        """``start``."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """``stop``."""
        self.stop()

    def start(self) -> "Server":
        """Start, and wait until it listens; for where a block does not fit, as the cells of a notebook.

        Raises:
            ConfigError, ArtifactError: as the program says; any PiError.
            LocalProtocolError: it runs already.
        """
        if self._process is not None:
            raise LocalProtocolError("server: expected one that does not run, found that it was started before")
        # -P: modules of the folder where a notebook lies are not the server's.
        command = [sys.executable, "-P", "-m", *self._program, "serve", *self._arguments]
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        except OSError as error:
            raise StorageError(f"server: cannot be started: {error.strerror}") from error
        self._process, self._owner = process, os.getpid()
        _STARTED.add(self)
        self._reader = threading.Thread(target=self._read, args=(process.stderr,), name="server-log", daemon=True)
        self._reader.start()
        atexit.register(self.stop)
        try:
            found = LISTENS.search(process.stdout.readline() if process.stdout else "")
        except BaseException:  # stopped meanwhile: no process stays behind
            self.stop()
            raise
        if found is None:
            code = process.wait()
            self._end()
            raise _as_error(code, list(self._said))
        self.address = found[1]
        return self

    def wait(self) -> None:
        """Until the server ends, as by SIGTERM; Ctrl-C ends this.

        Raises:
            LocalProtocolError: it does not run.
            PiError: it ended with an error.
        """
        process = self._own
        if process is None:
            raise LocalProtocolError("server: expected one that runs, found none started here")
        if code := process.wait():
            self._end()
            raise _as_error(code, list(self._said))

    def stop(self) -> None:
        """Let sessions end, then stop; safe to call twice. A forked process stops nothing."""
        process = self._own
        if process is None:
            return
        process.terminate()
        try:
            process.wait(self._drain_s + 10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._end()

    @property
    def _own(self) -> subprocess.Popen[str] | None:
        """The server, if it runs and this process started it, not one from which this was forked."""
        return self._process if os.getpid() == self._owner else None

    def _let_go(self) -> None:
        """Close a forked process's end of the pipe whose other end the server waits at: it stops when that closes."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _read(self, pipe: IO[str] | None) -> None:
        for line in pipe or ():
            self._said.append(line.rstrip("\n"))
            _LOG.info("%s", line.rstrip("\n"))

    def _end(self) -> None:
        if self._reader is not None:
            self._reader.join(5.0)
        process = self._process
        for pipe in (process.stdin, process.stdout, process.stderr) if process else ():
            if pipe is not None:
                pipe.close()
        self._process, self._reader, self.address = None, None, ""
        atexit.unregister(self.stop)


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


def _forked() -> None:
    for server in list(_STARTED):
        server._let_go()


os.register_at_fork(after_in_child=_forked)
