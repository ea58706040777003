"""The supervisor's desk, seen from a worker: asks for places, and hears what the supervisor wants.

Messages on the pipe are JSON: a worker parses what strangers send, so the supervisor must not unpickle what it says.

    worker                                      supervisor
    {"say": "listening"}              -->
    {"say": "enter", "client", ...}   -->
                                      <--       {"busy": null} or {"busy": [message, retry_s, ticket]}
    {"say": "prepare"}                -->       answered as "enter"
    {"say": "prepared"}               -->
                                      <--       {"idle_s": seconds, "stopping"}, any time: the longest idle phase
"""

import json
import math
import os
import queue
import threading
from multiprocessing.connection import Connection
from typing import Any, Final

from pi_server.clients import SHARED, ClientRecord, Clients
from pi_system.errors import (
    BusyError,
    ClientRefusedError,
    LimitError,
    PeerTimeoutError,
    PeerUnavailableError,
    PiError,
    StorageError,
)
from pi_system.rpc.server_session import Desk
from pi_system.rpc.session_config import Hello
from pi_system.rpc.tls import Caller
from pi_system.rpc.watchdog import Watchdog

_SOON_S: Final = 0.5
_REGISTER_S: Final = 1.0
"""How often a session that runs looks its client up. Longer: whoever is revoked goes on so long."""


class SupervisorDesk(Desk):
    """The worker's end of the pipe; a ``Desk`` of the one session that it admits."""

    def __init__(self, pipe: Connection, clients: Clients):
        """Listen to the supervisor; this process ends when it is gone. ``clients``: the server's register."""
        self._pipe, self._clients = pipe, clients
        self._caller: Caller | None = None
        self._lock = threading.Lock()
        self._over = False
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._idle: tuple[float, PiError] = (math.inf, PiError("none"))
        self._watchdog: Watchdog | None = None
        threading.Thread(target=self._hear, name="supervisor", daemon=True).start()

    def listening(self) -> None:
        """Clients can connect."""
        self._say("listening")

    def enter(self, hello: Hello, caller: Caller | None) -> ClientRecord:
        """A client wants this worker's session.

        Raises:
            BusyError: there is no place, or another client has this worker's.
            ClientRefusedError: the client is not registered, or revoked.
            LimitError: it may have no session at all, or comes to infer and may not any more today; said now, before it
                marks material used.
        """
        found = self._clients.admit(caller)
        if not hello.prepares:
            self._clients.check(found, "inferences", 1)
        # Who shares a certificate is told apart by drawn ids: fair between the honest.
        client = hello.config.client_id.hex() if found.name == SHARED else found.name
        most = self._clients.most(found, "sessions")
        if most == 0:  # asking again would not help
            raise LimitError(f"client {found.name}: expected at most 0 sessions at once, found 1 more")
        with self._lock:
            if self._over:  # this worker only waits for its last word to be sent
                raise BusyError("server: this worker's session is over, ask another", _SOON_S, hello.ticket)
            self._ask("enter", client=client, ticket=hello.ticket, prepares=hello.prepares, owner=found.name, most=most)
            self._caller = caller
        return found

    def prepare(self, count: int) -> None:
        """The offline phase may start. Raises BusyError, LimitError or ClientRefusedError."""
        with self._lock:
            self._ask("prepare")
        self._clients.spend(self._clients.admit(self._caller), "preparations", count)

    def infer(self, count: int) -> None:
        """The online phase may start. Raises LimitError or ClientRefusedError."""
        self._clients.spend(self._clients.admit(self._caller), "inferences", count)

    def left(self) -> int | None:
        """See Desk."""
        return self._clients.left(self._clients.admit(self._caller), "inferences")

    def prepared(self) -> None:
        """It is over."""
        self._say("prepared")

    def leave(self) -> None:
        """The session is over, its place free."""
        with self._lock:
            self._over = True
            self._say("leave")

    def watch(self, watchdog: Watchdog) -> None:
        """``watchdog`` keeps the session's idle phases as short as the supervisor wants them."""
        self._watchdog = watchdog
        watchdog.limit_idle(*self._idle)
        threading.Thread(target=self._look_up, args=(watchdog,), name="register", daemon=True).start()

    def _ask(self, what: str, **fields: Any) -> None:
        self._say(what, **fields)
        busy = self._answers.get()["busy"]
        if busy is not None:
            raise BusyError(*busy)

    def _say(self, what: str, **fields: Any) -> None:
        self._pipe.send_bytes(json.dumps({"say": what, **fields}).encode())

    def _look_up(self, watchdog: Watchdog) -> None:
        """A client that is revoked while its session runs: commands are checked, but one may take an hour."""
        while not watchdog.over_within(_REGISTER_S):
            try:
                self._clients.admit(self._caller)
            except ClientRefusedError as error:
                watchdog.end(error)
            except StorageError:
                pass  # the next command is refused

    def _hear(self) -> None:
        try:
            while True:
                message = json.loads(self._pipe.recv_bytes())
                if "busy" in message:
                    self._answers.put(message)
                else:
                    self._idle = _idle_limit(message["idle_s"], message["stopping"])
                    if self._watchdog is not None:
                        self._watchdog.limit_idle(*self._idle)
        except (EOFError, OSError):
            pass
        os._exit(1)  # the supervisor's end closes, however it died


def _idle_limit(idle_s: float | None, stopping: bool) -> tuple[float, PiError]:
    """The longest idle phase, None: any, and what ends it."""
    if stopping:
        return idle_s or 0.0, PeerUnavailableError("server: stopping")
    error = PeerTimeoutError(f"server: expected a command within {idle_s} s while others wait for a place, found none")
    return math.inf if idle_s is None else idle_s, error
