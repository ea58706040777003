"""The server's main process: fixes the port, keeps idle workers listening on it, and says who gets a place.

Workers share the port by SO_REUSEPORT. Idle ones listen, at full load, too: they answer health checks and tell clients
when to come again. A worker whose session starts stops listening and another is started. Workers are forked from a
fork server that has the heavy modules loaded already. What a session does, even crash, does not reach this process.
"""

import json
import logging
import math
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Any, Final

from pi_server.admission import Admission
from pi_server.options import ServerOptions
from pi_server.port import reserve_port
from pi_server.starts import Starts
from pi_server.status import Status
from pi_server.worker import run_worker
from pi_system.errors import PiError
from pi_system.rpc.certificate import days_left, problem, warn_of_expiry

_POLL_S: Final = 0.5
"""How long a signal may go unnoticed."""
_IDLE: Final = 2
"""Workers that listen: when one is taken the other does already."""
_CROWDED_IDLE_S: Final = 5.0
"""How long a session may be idle while others wait for its place."""
_DRAINED_IDLE_S: Final = 2.0
"""How long it may be while the server stops: from one command of a client to its next."""
_WARN_S: Final = 12 * 3600.0
_LOG = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Worker:
    process: ForkServerProcess
    pipe: Connection
    listening: bool = False
    busy: bool = False

    def tell(self, message: dict[str, Any]) -> None:
        """Send it, if the worker lives; its end is noticed elsewhere."""
        try:
            self.pipe.send_bytes(json.dumps(message).encode())
        except OSError:
            pass


class Supervisor:
    """Starts workers and replaces them, until stopped.

    Attributes:
        options: of workers that start from now on.
    """

    def __init__(
        self,
        options: ServerOptions,
        on_ready: Callable[[str], None],
        reload: Callable[[ServerOptions], ServerOptions] = lambda options: options,
    ):
        """``on_ready`` is called once, with the bound address, when the first worker listens; ``reload`` at SIGHUP."""
        self.options, self._on_ready, self._reload = options, on_ready, reload
        self._admission = Admission(options.max_sessions, options.max_preparing)
        self._stopping = False
        self._crashed = 0
        self._stops = 0
        self._reloads = False
        self._idle_s: float | None = None
        self._warned_s, self._listened_s = time.monotonic(), -math.inf  # whoever opened the identity has warned
        self._workers: list[_Worker] = []
        self._starts = Starts()
        self._ready = False
        self._status = self._now()
        self._context = multiprocessing.get_context("forkserver")
        # The backends' modules bring torch and CrypTen: seconds of import, once.
        self._context.set_forkserver_preload(
            ["pi_server.worker", *(options.backends[name] for name in options.allowed)]
        )

    def stop(self) -> None:
        """Have ``run`` return when the sessions are done; called again, at once. Safe in a signal handler."""
        self._stops += 1

    def reload(self) -> None:
        """Have sessions that start from now on use what is on disk now. Safe in a signal handler."""
        self._reloads = True

    def status(self) -> Status:
        """As the loop last saw it; safe in every thread."""
        return self._status

    def run(self) -> None:
        """Serve until ``stop``.

        Raises:
            ConfigError: the address cannot be bound.
            InvariantError: workers cannot be started, and none ever was.
        """
        reservation, address = reserve_port(self.options.listen)
        try:
            while not self._stops:
                if self._reloads:
                    self._renew()
                self._fill(address)
                self._wait(address)
            self._drain(address)
        finally:
            self._end(self._workers)
            reservation.close()

    def _fill(self, address: str) -> None:
        """Start the idle workers that are missing."""
        missing = _IDLE - sum(not worker.busy for worker in self._workers)
        for _ in range(missing if self._starts.due else 0):
            try:
                self._workers.append(self._started(address))
            except OSError as error:  # the fork server was killed just now, or descriptors have run out
                self._starts.failed(str(error.strerror))
                return

    def _started(self, address: str) -> _Worker:
        """A new worker. Raises OSError."""
        ours, theirs = self._context.Pipe()
        with theirs:
            process = self._context.Process(target=run_worker, args=(self.options, address, theirs), daemon=True)
            try:
                process.start()
            except OSError:
                ours.close()
                raise
        return _Worker(process, ours)

    def _renew(self) -> None:
        self._reloads = False
        try:
            self.options = self._reload(self.options)
        except Exception as error:  # whatever lies there now, what is served goes on
            unforeseen = None if isinstance(error, PiError) else error
            _LOG.error("reload failed, everything stays as it was: %s", error, exc_info=unforeseen)
            return
        _LOG.info("reloaded: artifact %s", self.options.artifact.public.digest[:16])
        self._end([worker for worker in self._workers if not worker.busy])

    def _drain(self, address: str) -> None:
        """Let the sessions end that can in time."""
        self._stopping = True
        self._end([worker for worker in self._workers if not worker.busy])
        _LOG.info("stopping: %d sessions have %g s to end", len(self._workers), self.options.drain_s)
        self._limit_idle(_DRAINED_IDLE_S)
        until_s = time.monotonic() + self.options.drain_s
        while self._workers and self._stops < 2 and time.monotonic() < until_s:
            self._wait(address)
        _LOG.info("stopped: %d sessions were cut off", len(self._workers))

    def _wait(self, address: str) -> None:
        """Handle what workers say, or their end."""
        self._status = self._now()
        by_pipe = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(by_pipe), _POLL_S):
            worker = by_pipe[pipe]  # type: ignore[index]  # only connections were waited for
            try:
                message = json.loads(worker.pipe.recv_bytes())
            except (EOFError, OSError):
                self._remove(worker)
                continue
            self._hear(worker, message, address)
        if not self._stopping:
            self._limit_idle(_CROWDED_IDLE_S if self._admission.pressed else None)
            self._warn()

    def _now(self) -> Status:
        admission, identity, now_s = self._admission, self.options.identity, time.monotonic()
        listening = sum(worker.listening and not worker.busy for worker in self._workers)
        if listening:
            self._listened_s = now_s
        return Status(
            ticked_s=now_s,
            places=admission.places,
            taken=admission.taken,
            preparing=admission.preparing,
            waiting=admission.waiting,
            listening=listening,
            deaf_s=now_s - self._listened_s,
            stopping=self._stopping,
            granted=admission.granted,
            refused=admission.refused,
            crashed=self._crashed,
            certificate_days=None if identity is None else days_left(identity),
            certificate_problem="" if identity is None else problem(identity),
            store_dir=self.options.store_dir,
        )

    def _warn(self) -> None:
        """Of a certificate that expires, at the start and twice a day."""
        if self.options.identity is not None and time.monotonic() - self._warned_s > _WARN_S:
            self._warned_s = time.monotonic()
            warn_of_expiry(self.options.identity)

    def _hear(self, worker: _Worker, message: dict[str, Any], address: str) -> None:
        match message["say"]:
            case "listening":
                worker.listening = True
                self._starts.succeeded()
                if not self._ready:
                    self._ready = True
                    self._on_ready(address)
            case "enter":
                names = ("client", "ticket", "prepares", "owner", "most")
                busy = self._admission.enter(worker, **{name: message[name] for name in names})
                worker.busy = worker.busy or busy is None
                worker.tell({"idle_s": self._idle_s, "stopping": self._stopping})
                worker.tell({"busy": busy and busy.args})
            case "prepare":
                busy = self._admission.prepare(worker)
                worker.tell({"busy": busy and busy.args})
            case "leave":
                self._admission.leave(worker)
            case _:
                self._admission.prepared(worker)

    def _limit_idle(self, idle_s: float | None) -> None:
        if idle_s != self._idle_s:
            self._idle_s = idle_s
            for worker in self._workers:
                worker.tell({"idle_s": idle_s, "stopping": self._stopping})

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        self._admission.leave(worker)
        worker.process.join(1.0)
        code = worker.process.exitcode
        worker.pipe.close()
        if code:
            self._crashed += 1
            _LOG.warning("worker %s ended with code %s", worker.process.pid, code)
        if not (worker.listening or self._stopping):
            self._starts.failed(f"it ended with code {code} before it listened")

    def _end(self, workers: list[_Worker]) -> None:
        for worker in list(workers):
            worker.process.kill()  # they hold nothing that a clean end would save: used material is marked already
        for worker in list(workers):
            worker.process.join(1.0)
            worker.pipe.close()
            self._workers.remove(worker)
            self._admission.leave(worker)
