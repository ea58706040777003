"""Real server, dealer and client processes for tests; every one is ended by its context manager."""

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from pi_system.artifact import Artifact, save
from pi_system.backends.registry import BACKENDS
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.endpoint import Endpoint
from pi_system.rpc.session_config import SessionConfig
from pi_system.rpc.tls import Identity

SUPPORT = Path(__file__).parent
ROOT = SUPPORT.parents[1]
SOURCES = f"{ROOT}:{ROOT}/server:{ROOT}/client:{SUPPORT}"
ENVIRONMENT = os.environ | {"PYTHONPATH": SOURCES, "OMP_NUM_THREADS": "1"}
START_S = 60.0
TOY = {"toy": "toy_backend"}
"""A backend that deals nothing secret, and slowly where it is asked for many."""


class Process:
    """A started program: its address, and its log as it grows."""

    def __init__(self, arguments: list[str]) -> None:
        self.popen: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=ROOT,
        )
        out, err = self.popen.stdout, self.popen.stderr
        assert out is not None
        assert err is not None
        self._pipes = (out, err)
        self.log: list[str] = []
        self.first_line = ""
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, sink), daemon=True)
            for pipe, sink in zip(self._pipes, (self._lines.put, self._log_line), strict=True)
        ]
        self._changed = threading.Condition()
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: IO[str], sink: Callable[[str], None]) -> None:
        for line in pipe:
            sink(line.rstrip("\n"))

    def _log_line(self, line: str) -> None:
        with self._changed:
            self.log.append(line)
            self._changed.notify_all()

    def ready_address(self) -> str:
        """The address of the ready line on stdout."""
        try:
            line = self._lines.get(timeout=START_S)
        except queue.Empty:
            raise AssertionError("\n".join(self.log)) from None
        self.first_line = line
        found = re.search(r"listening on (\S+:\d+)", line)
        assert found, line
        return found[1]

    def wait_log(self, pattern: str, timeout_s: float = 20.0, start: int = 0) -> re.Match[str]:
        """The first log line, from number ``start`` on, that matches; waits for it."""

        def find() -> re.Match[str] | None:
            return next(filter(None, (re.search(pattern, line) for line in self.log[start:])), None)

        with self._changed:
            found = self._changed.wait_for(find, timeout_s)
            assert found, (pattern, self.log)
            return found

    def end(self) -> None:
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        for reader in self._readers:
            reader.join(5)
        for pipe in self._pipes:
            pipe.close()


ALL_BACKENDS = tuple(part for name in BACKENDS for part in ("--backend", name))
"""Options of a server that offers the baseline, too."""


@contextmanager
def started(*arguments: str) -> Iterator[tuple[Process, str]]:
    """Start a Python program that prints a ready line; yields it and its address."""
    process = Process(list(arguments))
    try:
        yield process, process.ready_address()
    finally:
        process.end()


def pi_server(artifact: Path | str, store: Path, *arguments: str) -> AbstractContextManager[tuple[Process, str]]:
    """pi-server on a port of this machine."""
    places = ("--artifact", str(artifact), "--store", str(store), "--listen", "127.0.0.1:0")
    return started("-m", "pi_server.cli", "serve", *places, *arguments)


def pi_client(
    folder: Path, *arguments: str, code: str = "", how: Mapping[str, Any] | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run pi-client, or ``code``, in ``folder``, with more environment variables; ``how`` is of subprocess.run."""
    program = ("-c", code) if code else ("-m", "pi_client.cli")
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(
        [sys.executable, *program, *arguments],
        env=ENVIRONMENT | environment,
        cwd=folder,
        text=True,
        timeout=120,
        **(pipes | dict(how or {})),
    )


def gmw_session(address: str, store: Path, keys: Path) -> ClientSession:
    """A session with a server, with these keys."""
    endpoint = Endpoint(server=address, dealer=None, store_dir=store, identity=Identity.load(keys))
    return ClientSession(endpoint, SessionConfig(backend="gmw", artifact_digest="", client_id=bytes(16)))


def model_folder(path: Path, artifact: Artifact) -> Path:
    """``path`` with the artifact, "model", and two pictures of its size, "a.png" and "b.png"."""
    save(artifact, path / "model")
    rng, (_, height, width) = np.random.default_rng(1), artifact.public.graph.input.shape
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (height, width), np.uint8)).save(path / name)
    return path


def _toy(program: str, backends: Mapping[str, str], *arguments: str) -> AbstractContextManager[tuple[Process, str]]:
    """The program of this module, which knows ``backends`` of this folder and no others."""
    code = (
        f"import sys; from pi_system.backends import registry; registry.BACKENDS = {backends}\n"
        f"registry.SERVED_BY_DEFAULT = tuple(registry.BACKENDS); from {program} import main; main(sys.argv[1:])"
    )
    return started("-c", code, "serve", "--listen", "127.0.0.1:0", *arguments)


def toy_dealer(*arguments: str) -> AbstractContextManager[tuple[Process, str]]:
    return _toy("pi_system.cli.dealer", TOY, "--insecure", "--patience", "20", *arguments)


def toy_server(
    artifact: Path, dealer: str, keys: Path | None = None, **options: float | str
) -> AbstractContextManager[tuple[Process, str]]:
    """``options`` are those of pi-server serve."""
    chosen = {"reserved": 0, "timeout": 20, "store": f"{artifact.parent}/store"} | options
    words = [word for name, value in chosen.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    links = ("--keys", str(keys)) if keys else ("--insecure",)
    served = TOY | {"insecure-ideal": "insecure_ideal"}
    return _toy("pi_server.cli", served, "--artifact", str(artifact), "--dealer", dealer, *links, *words)
