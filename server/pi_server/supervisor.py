"""The server's main process: fixes the port and keeps one idle worker listening on it.

Workers share the port by SO_REUSEPORT, but only one listens at a time: when its session starts it stops listening
and the next one takes over. A client that connects in between finds no listener and tries again. Workers are forked
from a fork server that has the heavy modules loaded already, so the gap is tens of milliseconds. What a session does,
even crash, does not reach this process.
"""

import logging
import multiprocessing
import socket
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Final

from pi_server.options import ServerOptions
from pi_server.worker import run_worker
from pi_system.errors import ConfigError, InvariantError
from pi_system.rpc.transport import check_address

__all__ = ["Supervisor", "reserve_port"]

_POLL_S: Final = 0.5
"""How long a stop may go unnoticed."""
_MAX_FAILED_STARTS: Final = 3
_LOG = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Worker:
    process: ForkServerProcess
    pipe: Connection
    listening: bool = False
    busy: bool = False


class Supervisor:
    """Starts workers and replaces them, until stopped."""

    def __init__(self, options: ServerOptions, on_ready: Callable[[str], None]):
        """``on_ready`` is called once, with the bound address, when the first worker listens."""
        self._options, self._on_ready = options, on_ready
        self._stopping = False
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._ready = False
        self._context = multiprocessing.get_context("forkserver")
        # The backends' modules bring torch and CrypTen: seconds of import, once.
        self._context.set_forkserver_preload(
            ["pi_server.worker", *(options.backends[name] for name in options.allowed)]
        )

    def stop(self) -> None:
        """Have ``run`` return; safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Serve until ``stop``.

        Raises:
            ConfigError: the address cannot be bound.
            InvariantError: workers cannot be started.
        """
        reservation, address = reserve_port(self._options.listen)
        try:
            while not self._stopping:
                self._fill(address)
                self._wait(address)
        finally:
            self._end_workers()
            reservation.close()

    def _fill(self, address: str) -> None:
        """Start an idle worker if there is none and a session is free."""
        if any(not worker.busy for worker in self._workers) or len(self._workers) >= self._options.max_sessions:
            return
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=run_worker, args=(self._options, address, theirs), daemon=True)
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))

    def _wait(self, address: str) -> None:
        """Handle what workers report, or their end."""
        by_pipe = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(by_pipe), _POLL_S):
            worker = by_pipe[pipe]  # type: ignore[index]  # only connections were waited for
            try:
                report = worker.pipe.recv_bytes()
            except (EOFError, OSError):
                self._remove(worker)
                continue
            worker.listening, worker.busy = True, report == b"busy"
            self._failed_starts = 0
            if not self._ready:
                self._ready = True
                self._on_ready(address)

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.process.join(1.0)
        code = worker.process.exitcode
        worker.pipe.close()
        if code:
            _LOG.warning("worker %s ended with code %s", worker.process.pid, code)
        if not worker.listening:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS:
                raise InvariantError(f"expected workers to start, found {_MAX_FAILED_STARTS} that ended, see the log")

    def _end_workers(self) -> None:
        for worker in self._workers:
            worker.process.kill()  # they hold nothing that a clean end would save: used material is marked already
        for worker in self._workers:
            worker.process.join(1.0)
            worker.pipe.close()


def reserve_port(listen: str) -> tuple[socket.socket, str]:
    """Bind without listening, so that the port is ours whichever worker comes and goes.

    Returns:
        The socket to keep open, and HOST:PORT with the port's number.

    Raises:
        ConfigError: the address cannot be bound, or another process has it.
    """
    host, _, port_text = check_address(listen).rpartition(":")
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host.strip("[]"), int(port_text), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # Without SO_REUSEPORT: fails if another server, of ours or not, holds the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
        keeper = socket.socket(family, kind, protocol)
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeper.bind(target)
    except OSError as error:
        raise ConfigError(f"listen: expected a free address, found {listen}: {error.strerror}") from None
    return keeper, f"{host}:{keeper.getsockname()[1]}"
