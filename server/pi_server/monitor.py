"""Health and metrics on ports of the supervisor's own, in the clear: they tell counts, nothing of clients or models.

HTTP   /livez     200 as long as the supervisor's loop runs, busy or not
/readyz    200 if a session can be served now or after a wait, else 503 and why
/metrics   Prometheus text
gRPC   grpc.health.v1 for the services "" and "liveness" (as /livez) and "readiness"
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pi_server.status import Status
from pi_system.errors import ConfigError
from pi_system.rpc.transport import check_address

__all__ = ["serve_health", "serve_metrics"]

_POLL_S: Final = 1.0
_STATES: Final = health_pb2.HealthCheckResponse
_GAUGES: Final = {
    "places": "Sessions that may run at once",
    "taken": "Sessions that run",
    "preparing": "Sessions in the offline phase",
    "waiting": "Clients that wait for a place",
    "listening": "Workers that take connections",
}
_COUNTERS: Final = {
    "granted": "Sessions admitted",
    "refused": "Times a client was told to wait",
    "crashed": "Workers that ended with an error",
}


class _Counts(Collector):
    def __init__(self, status: Callable[[], Status]):
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Of one moment."""
        now = self._status()
        for name, what in _GAUGES.items():
            yield GaugeMetricFamily(f"pi_server_{name}", what, value=getattr(now, name))
        for name, what in _COUNTERS.items():
            yield CounterMetricFamily(f"pi_server_{name}", what, value=getattr(now, name))
        yield GaugeMetricFamily("pi_server_ready", "1 if a session can be served", value=float(not now.problems()))
        if now.certificate_days is not None:
            yield GaugeMetricFamily("pi_server_certificate_days", "Until it expires", value=now.certificate_days)


@contextmanager
def serve_metrics(address: str | None, status: Callable[[], Status]) -> Iterator[str]:
    """The HTTP half while the block runs, its address yielded; None: nothing. Raises ConfigError."""
    if address is None:
        yield ""
        return
    registry = CollectorRegistry()
    registry.register(_Counts(status))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer one of the three."""
            now = status()
            match self.path:
                case "/livez":
                    self._answer(200 if now.alive else 503, b"alive\n" if now.alive else b"stuck\n")
                case "/readyz":
                    problems = now.problems()
                    self._answer(503 if problems else 200, "\n".join([*(problems or ["ready"]), ""]).encode())
                case "/metrics":
                    self._answer(200, generate_latest(registry))
                case _:
                    self._answer(404, b"expected /livez, /readyz or /metrics\n")

        def _answer(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """A probe every few seconds is no news."""

    Handler.timeout = 5.0
    host, _, port = check_address(address).rpartition(":")
    try:
        server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
    except OSError as error:
        raise ConfigError(f"metrics: expected a free address, found {address}: {error.strerror}") from None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    try:
        yield f"{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serve_health(address: str | None, status: Callable[[], Status]) -> Iterator[str]:
    """The gRPC half while the block runs, its address yielded; None: nothing. Raises ConfigError."""
    if address is None:
        yield ""
        return
    servicer, ended = health.HealthServicer(), threading.Event()

    def follow() -> None:
        while True:
            now = status()
            for names, good in ((("", "liveness"), now.alive), (("readiness",), not now.problems())):
                for name in names:
                    servicer.set(name, _STATES.SERVING if good else _STATES.NOT_SERVING)
            if ended.wait(_POLL_S):
                return

    server = grpc.server(ThreadPoolExecutor(4, thread_name_prefix="health"), maximum_concurrent_rpcs=16)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    try:
        port = server.add_insecure_port(check_address(address))
    except RuntimeError:
        raise ConfigError(f"health: expected a free address, found that {address} cannot be bound") from None
    server.start()
    threading.Thread(target=follow, name="health", daemon=True).start()
    try:
        yield f"{address.rpartition(':')[0]}:{port}"
    finally:
        ended.set()
        server.stop(0)
