"""An HTTP server for probes: whoever connects and says nothing keeps no probe out."""

import socket
import threading
from http.server import ThreadingHTTPServer
from typing import Any, Final

_CONNECTIONS: Final = 64
"""At once, each a thread. More: memory, where somebody opens many. Fewer: who opens as many in the moment that a probe
takes keeps it out."""


class ProbeServer(ThreadingHTTPServer):
    """Ends its oldest connection for a new one beyond _CONNECTIONS."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: Any):
        """As the base class."""
        self._open: dict[Any, None] = {}
        self._lock = threading.Lock()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own."""
        with self._lock:
            self._open[request] = None
            if len(self._open) > _CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                _end(oldest)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """A connection is over."""
        with self._lock:
            self._open.pop(request, None)
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One that was ended, or went away, is no news."""


def _end(connection: socket.socket) -> None:
    """Have its thread see its end, and close it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the peer was faster
