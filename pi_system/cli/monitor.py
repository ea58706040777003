"""Health and metrics on ports of their own, in the clear: they tell counts, nothing of clients or models.

HTTP   /livez     200 as long as the service's loop runs, busy or not
/readyz    200 if one can be served now or after a wait, else 503 and why
/metrics   Prometheus text
gRPC   grpc.health.v1 for the services "" and "liveness" (as /livez) and "readiness"
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

import click
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pi_system.cli.probe_server import ProbeServer
from pi_system.errors import ConfigError
from pi_system.rpc.health import serve_health
from pi_system.rpc.transport import check_address

_LOG = logging.getLogger(__name__)


class ServiceState(Protocol):
    """A service at a moment."""

    @property
    def alive(self) -> bool:
        """Its loop runs."""

    def problems(self) -> list[str]:
        """Why it cannot serve, nothing if it can."""

    def metrics(self) -> Iterator[Metric]:
        """Its counts."""


class _Counts(Collector):
    def __init__(self, status: Callable[[], ServiceState]):
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Of one moment."""
        yield from self._status().metrics()


def metrics_of(moment: Any, prefix: str, gauges: Mapping[str, str], counters: Mapping[str, str]) -> Iterator[Metric]:
    """Attributes of ``moment`` as metrics; those that are None are left out."""
    for names, family in ((gauges, GaugeMetricFamily), (counters, CounterMetricFamily)):
        for name, what in names.items():
            if (value := getattr(moment, name)) is not None:
                yield family(f"{prefix}_{name}", what, value=value)
    yield GaugeMetricFamily(f"{prefix}_ready", "1 if it can serve", value=float(not moment.problems()))


def monitor_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --health and --metrics."""
    health = "HOST:PORT for grpc.health.v1, in the clear: services liveness and readiness."
    metrics = "HOST:PORT for HTTP, in the clear: /livez, /readyz and /metrics (Prometheus)."
    return click.option("--health", help=health)(click.option("--metrics", help=metrics)(command))


def _answers(now: ServiceState) -> dict[str, bool]:
    return {"": now.alive, "liveness": now.alive, "readiness": not now.problems()}


@contextmanager
def monitored(status: Callable[[], ServiceState], health: str | None, metrics: str | None) -> Iterator[None]:
    """Tell of a service at these addresses while the block runs; None: not there. Raises ConfigError."""
    with serve_health(health, lambda: _answers(status())) as probed, _serve_metrics(metrics, status) as counted:
        for what, address in (("health", probed), ("metrics", counted)):
            if address:
                _LOG.info("%s at %s", what, address)
        yield


@contextmanager
def _serve_metrics(address: str | None, status: Callable[[], ServiceState]) -> Iterator[str]:
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
        server = ProbeServer((host.strip("[]"), int(port)), Handler)
    except OSError as error:
        raise ConfigError(f"metrics: expected a free address, found {address}: {error.strerror}") from None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    try:
        yield f"{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
