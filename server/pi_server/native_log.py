"""What gRPC's own code writes to stderr: a TLS handshake that it refuses is a line in our log.

gRPC tells nobody else of it, and this at its level INFO. So workers write stderr into a pipe of the server's, where a
thread makes such lines ours and passes on all others. Refusals of one kind are a line every ten seconds.
"""

import logging
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, TextIO

_VERBOSITY: Final = "GRPC_VERBOSITY"
_END: Final = b"\0end of native log\n"
_NATIVE: Final = re.compile(rb"[IWE]\d{4} [\d:.]+ +\d+ \w+\.cc:\d+\] ")
"""Lines of gRPC."""
_REFUSED: Final = re.compile(rb"ssl_transport_security\.cc:\d+\] Handshake failed .*OPENSSL_internal:([A-Z0-9_]+)")
_EVERY_S: Final = 10.0
_LOG = logging.getLogger(__name__)


class Refusals:
    """TLS handshakes that were refused, by OpenSSL's reason."""

    def __init__(self) -> None:
        """None yet."""
        self._unlogged: Counter[str] = Counter()
        self._logged_s: dict[str, float] = {}

    def note(self, reason: str) -> None:
        """One more; logged, but not too often."""
        self._unlogged[reason] += 1
        now_s = time.monotonic()
        if now_s - self._logged_s.get(reason, -_EVERY_S) >= _EVERY_S:
            self._logged_s[reason] = now_s
            number = self._unlogged.pop(reason)
            _LOG.warning("TLS: %d connections refused in the handshake: %s", number, reason)


@contextmanager
def native_log() -> Iterator[None]:
    """Stderr of the processes that this one starts meanwhile, and of C in it, goes through a thread of this one."""
    sys.stderr.flush()
    source, target = os.pipe()
    own = os.fdopen(os.dup(2), "w", buffering=1)
    asked = os.environ[_VERBOSITY]
    if quiet := asked == "NONE":  # as pi_system.rpc sets it, unless somebody wants to see what gRPC does
        os.environ[_VERBOSITY] = "INFO"  # read where gRPC is imported: here it was already
    os.dup2(target, 2)
    os.close(target)
    thread = threading.Thread(target=_pass_on, args=(source, own.fileno(), quiet), name="native-log", daemon=True)
    thread.start()
    before = _write_to(own)
    try:
        yield
    finally:
        _write_to(before)
        os.write(2, _END)
        thread.join(1.0)
        os.dup2(own.fileno(), 2)
        os.environ[_VERBOSITY] = asked
        if not thread.is_alive():
            own.close()


def _write_to(stream: TextIO) -> TextIO:
    """Have Python's stderr, and the log, written to ``stream``; returns what they were written to."""
    before, sys.stderr = sys.stderr, stream
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(stream)
    return before


def _pass_on(source: int, target: int, quiet: bool) -> None:
    refusals = Refusals()
    with open(source, "rb") as lines:
        for line in lines:
            if refused := _REFUSED.search(line):
                refusals.note(refused[1].decode())
            elif not (quiet and _NATIVE.match(line)):
                with suppress(OSError):  # a log that is full or gone must not stop who writes into the pipe
                    os.write(target, line.removesuffix(_END))
            if line.endswith(_END):
                return
