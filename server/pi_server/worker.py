"""A worker process: waits for one session on the shared port, serves it, ends.

One process a session, because CrypTen keeps its state in globals, and because whatever goes wrong in a session (even a
crash) then ends that session only.
"""

import logging
import os
import queue
import signal
import threading
from multiprocessing.connection import Connection
from typing import Final

from pi_server.options import ServerOptions
from pi_system._proto.v1.control_pb2 import Description
from pi_system.artifact.store import load
from pi_system.cli.service import log_to_stderr
from pi_system.errors import InvariantError, PeerUnavailableError, PiError
from pi_system.rpc.envelope import PROTOCOL_VERSION
from pi_system.rpc.frames import FrameStream
from pi_system.rpc.listen import serve_streams
from pi_system.rpc.server_session import SESSION_METHOD, SessionHost, serve_session

__all__ = ["run_worker"]

_SESSION_LIMIT_S: Final = 7 * 86400.0
_FLUSH_S: Final = 5.0
_LOG = logging.getLogger(__name__)


def run_worker(options: ServerOptions, address: str, supervisor: Connection) -> None:
    """Serve one session on ``address``; the target of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    log_to_stderr("pi-server")
    threading.Thread(target=_die_with, args=(supervisor,), daemon=True).start()
    host = SessionHost(
        artifact=load(options.artifact),
        store_dir=options.store_dir,
        dealer=options.dealer,
        allowed=options.allowed,
        insecure_provider=options.insecure_provider,
        profile=options.profile,
        reveal=options.reveal,
        timeout_s=options.timeout_s,
        backends=options.backends,
        identity=options.identity,
        wrap=options.wrap,
    )
    first: queue.SimpleQueue[FrameStream] = queue.SimpleQueue()
    taken = threading.Lock()

    def take(stream: FrameStream) -> None:
        stream.check_role("client")
        if not taken.acquire(blocking=False):
            raise PeerUnavailableError("server: this worker is busy, connect again")
        first.put(stream)

    server, _ = serve_streams(
        address,
        {SESSION_METHOD: take},
        {"Describe": lambda _: _describe(host)},
        timeout_s=options.timeout_s,
        max_streams=2,
        share_port=True,
        identity=options.identity,
    )
    supervisor.send_bytes(b"listening")
    stream = first.get()
    stopped = server.stop(_SESSION_LIMIT_S)  # takes no new connection; the session's call goes on
    supervisor.send_bytes(b"busy")
    _serve(stream, host)
    stopped.wait(_FLUSH_S)
    logging.shutdown()
    os._exit(0)  # nothing is left to clean up, and gRPC's and torch's exit handlers take their time


def _serve(stream: FrameStream, host: SessionHost) -> None:
    _LOG.info("session with %s starts", stream.peer)
    try:
        serve_session(stream, host)
        _LOG.info("session ends")
    except PiError as error:
        _LOG.warning("session ends: %s: %s", type(error).__name__, error)
        stream.fail(error)
    except Exception:
        _LOG.exception("session ends by a bug")
        stream.fail(InvariantError("internal error, see the server's log"))


def _describe(host: SessionHost) -> bytes:
    public = host.artifact.public
    description = Description(
        protocol_version=PROTOCOL_VERSION,
        role="server",
        artifact_digest=public.digest,
        model=public.name,
        backends=host.allowed,
        reveal=host.reveal,
    )
    return description.SerializeToString()


def _die_with(supervisor: Connection) -> None:
    """End this process when the supervisor is gone: its end of the pipe closes, however it died."""
    try:
        supervisor.recv_bytes()
    except (EOFError, OSError):
        pass
    os._exit(1)
