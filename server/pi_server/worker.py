"""A worker process: waits for one session on the shared port, serves it, ends.

One process a session, because CrypTen keeps its state in globals, and because whatever goes wrong in a session (even a
crash, or memory that is not given back) then ends that session only. It is warm: modules, model and listening socket
are there before its client comes.
"""

import hashlib
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Final

from pi_server.clients import SHARED, ClientRecord, Clients
from pi_server.desk import SupervisorDesk
from pi_server.options import ServerOptions
from pi_system._proto.v1.control_pb2 import Description
from pi_system.cli.logs import session_log, start_log
from pi_system.durable import storage_error
from pi_system.errors import InvariantError, PiError
from pi_system.kernels.cores import use_threads
from pi_system.rpc.frames import FrameStream
from pi_system.rpc.listen import serve_streams
from pi_system.rpc.server_session import SessionHost, read_hello, serve_session
from pi_system.rpc.session_config import SESSION_METHOD, Hello
from pi_system.secure import eraser
from pi_system.secure.index import Index
from pi_system.version import PROTOCOL_VERSION

_HELLOS: Final = 64
"""Clients that may say hello at once. More: threads, of which each has one. Fewer: who comes in a crowd comes again."""
_SESSION_LIMIT_S: Final = 7 * 86400.0
_FLUSH_S: Final = 5.0
_LAST_WORD_S: Final = 1.0
"""gRPC calls a call done before its status is on the wire: ending at once could cut off what a client is told. Shorter:
on a busy machine it hears that the server is gone instead. Longer: more such workers at once, without a place."""
_LOG = logging.getLogger(__name__)


def run_worker(options: ServerOptions, address: str, supervisor: Connection) -> None:
    """Serve one session on ``address``; the target of a worker process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they reach the whole group; the supervisor decides when we end
    start_log(options.log)
    use_threads(options.threads)
    clients, index = Clients(options.store_dir, options.client_limits), Index(options.store_dir / "server")
    desk = SupervisorDesk(supervisor, clients)
    first: queue.SimpleQueue[tuple[FrameStream, Hello, ClientRecord]] = queue.SimpleQueue()

    def receive(stream: FrameStream) -> None:
        session_log("", _named(stream))
        try:
            hello = read_hello(stream, options, lambda request: session_log(request, _named(stream)))
            client = desk.enter(hello, stream.caller)
        except Exception as error:
            _refuse(stream, error)
        else:
            first.put((stream, bound_to(client, hello), client))

    def take(stream: FrameStream) -> None:
        stream.check_role("client")
        threading.Thread(target=receive, args=(stream,), name="hello", daemon=True).start()

    server, _ = serve_streams(
        address,
        {SESSION_METHOD: take},
        {"Describe": lambda _: _describe(options)},
        timeout_s=options.timeout_s,
        max_streams=_HELLOS,
        share_port=True,
        identity=options.identity,
    )
    desk.listening()
    stream, hello, client = first.get()
    session_log(hello.request, client.name)
    stopped = server.stop(_SESSION_LIMIT_S)  # takes no new connection; the session's call goes on
    room = clients.most(client, "bytes")

    def claim() -> None:
        index.set(room=options.room_bytes, keep_s=options.keep_s)  # an index made anew meanwhile has no limits
        _claim(index, hello, client.name, room)

    served = _serve(stream, options, hello, desk, claim)
    stopped.wait(_FLUSH_S)
    if not served:
        desk.leave()
        time.sleep(_LAST_WORD_S)
    eraser.finish()
    logging.shutdown()
    os._exit(0)  # nothing else is left to clean up, and gRPC's and torch's exit handlers take their time


def _claim(index: Index, hello: Hello, name: str, room: int | None) -> None:
    """What this client keeps is its certificate's, whatever id it draws. Raises StorageError."""
    if room is not None:
        index.claim(hello.config.client_id.hex(), name, room)


def bound_to(client: ClientRecord, hello: Hello) -> Hello:
    """``hello`` with the id under which this client's material is kept: no other certificate reaches it."""
    if client.name == SHARED:
        return hello
    drawn = hello.config.client_id
    bound = hashlib.sha256(b"pi-system client\0" + client.name.encode() + b"\0" + drawn).digest()[: len(drawn)]
    return replace(hello, config=replace(hello.config, client_id=bound))


def _named(stream: FrameStream) -> str:
    return stream.caller.name if stream.caller else ""


def _serve(
    stream: FrameStream, host: SessionHost, hello: Hello, desk: SupervisorDesk, claim: Callable[[], None]
) -> bool:
    """Whether the session came to its own end; ``claim`` is its first step."""
    _LOG.info("session with %s starts", stream.peer)
    try:
        claim()
        serve_session(stream, host, hello, desk)
        _LOG.info("session ends")
    except Exception as error:
        _refuse(stream, error)
        return False
    return True


def _refuse(stream: FrameStream, error: Exception) -> None:
    """End a stream with what its client may know of ``error``."""
    known = storage_error(error) if isinstance(error, OSError) else error
    if isinstance(known, PiError):
        _LOG.warning("session ends: %s: %s", type(known).__name__, known)
        stream.fail(known)
    else:
        _LOG.error("session ends by a bug", exc_info=error)
        stream.fail(InvariantError("internal error, see the server's log"))


def _describe(host: SessionHost) -> bytes:
    public = host.artifact.public
    description = Description(
        protocol_version=PROTOCOL_VERSION,
        role="server",
        artifact_digest=public.digest,
        model=public.name,
        backends=host.offered,
        reveal=host.reveal,
    )
    return description.SerializeToString()
