"""What the long-running programs share: signals, the health check."""

import resource
import signal
import time
from collections import deque
from collections.abc import Callable

import click

from pi_system._proto.v1.control_pb2 import Description
from pi_system.cli.seconds import SECONDS
from pi_system.rpc.tls import Identity, Role
from pi_system.rpc.transport import unary

MAX_FILES = 65536
"""Open files of a process: a connection is one. More: closing all of them in a child takes long."""
_LOOK_S = 0.1  # a signal is taken so late at most; waits that wake at once take locks, or wait for ever under load

health_timeout = click.option("--timeout", default=3.0, show_default=True, type=SECONDS, help="How long it is tried.")


class Signals:
    """Signals that came and were not taken yet: a semaphore whose ``release`` may be called in a signal handler.

    Handlers run between any two instructions of the main thread, which may be within threading's semaphore, its lock
    taken.
    """

    def __init__(self) -> None:
        """None came."""
        self._came = deque[None]()

    def release(self) -> None:
        """One came."""
        self._came.append(None)

    def acquire(self, timeout: float | None = None) -> bool:
        """Take one; wait for it, at most so many seconds. Whether there was one."""
        until_s = None if timeout is None else time.monotonic() + timeout
        while not self._came:
            left_s = _LOOK_S if until_s is None else until_s - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(_LOOK_S, left_s))
        self._came.popleft()
        return True


def on_stop_signal(stop: Callable[[], None]) -> None:
    """Call ``stop``, which takes no lock, at SIGTERM and SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def raise_file_limit() -> None:
    """Let this process and its children have as many open files as the system grants, up to MAX_FILES."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def describe(address: str, role: Role, timeout_s: float, identity: Identity | None = None) -> Description:
    """Ask the server or dealer at ``address`` what it is. Raises ChannelError, ConfigError or RemoteProtocolError."""
    peer = f"{role} {address}"
    reply = unary(address, "Describe", b"", timeout_s=timeout_s, peer=peer, identity=identity, role=role)
    return Description.FromString(reply)


def show_health(address: str, role: Role, timeout_s: float, identity: Identity | None) -> None:
    """Print what answers at ``address``. Raises PiError, for the program's exit code."""
    found = describe(address, role, timeout_s, identity)
    parts = [found.role, f"protocol {found.protocol_version}", f"backends {','.join(found.backends)}"]
    if found.artifact_digest:
        parts.append(f"artifact {found.artifact_digest[:16]} ({found.model})")
    if found.reveal:
        parts.append(f"reveals {found.reveal}")
    click.echo(f"{address}: " + ", ".join(parts))
