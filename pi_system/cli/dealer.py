"""``pi-dealer``: deals correlations to the two parties of a session, and sees neither weights nor pictures."""

import logging
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from prometheus_client.core import Metric

from pi_system.backends.registry import installed
from pi_system.cli.cores import threads_option
from pi_system.cli.links import link_options, open_identity
from pi_system.cli.logs import chosen_log, start_log
from pi_system.cli.monitor import metrics_of, monitor_options, monitored
from pi_system.cli.program import program
from pi_system.cli.seconds import SECONDS
from pi_system.cli.service import Signals, health_timeout, on_stop_signal, raise_file_limit, show_health
from pi_system.rpc.certificate import days_left, problem
from pi_system.rpc.dealer_link import DEALER_METHOD
from pi_system.rpc.dealer_service import DealerService
from pi_system.rpc.listen import serve_streams

MAX_STREAMS = 64
_GAUGES: Final = {
    "waiting": "Parties that wait for the other",
    "running": "Pairs that are dealt to",
    "certificate_days": "Until the certificate expires",
}
_COUNTERS: Final = {"dealt": "Pairs that were dealt to"}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Status:
    """A moment of a dealer."""

    waiting: int
    running: int
    dealt: int
    stopping: bool
    certificate_days: float | None
    certificate_problem: str
    alive: bool = True

    def problems(self) -> list[str]:
        """See ServiceState."""
        return ["dealer: stopping"] * self.stopping + [self.certificate_problem] * bool(self.certificate_problem)

    def metrics(self) -> Iterator[Metric]:
        """See ServiceState."""
        return metrics_of(self, "pi_dealer", _GAUGES, _COUNTERS)


@program("pi-dealer")
def main() -> None:
    """The dealer: a third party that client and server both trust not to collude with the other."""


@main.command()
@click.option("--listen", default="127.0.0.1:7101", show_default=True, help="HOST:PORT; port 0: any free one.")
@click.option("--patience", default=30.0, show_default=True, type=SECONDS, help="A party waits for the other.")
@click.option("--drain", default=30.0, show_default=True, type=SECONDS, help="Pairs may go on after SIGTERM.")
@monitor_options
@threads_option()
@link_options
def serve(
    listen: str,
    patience: float,
    drain: float,
    health: str | None,
    metrics: str | None,
    keys: Path | None,
    insecure: bool,
) -> None:
    """Serve until stopped; prints one line with the address when ready.

    SIGTERM: no new pair, those that are dealt to may end (--drain); a second one ends them. SIGHUP changes nothing.
    """
    start_log(chosen_log("pi-dealer"))
    raise_file_limit()
    identity = open_identity(keys, insecure, listen, role="dealer")
    stops, hangups = Signals(), Signals()
    on_stop_signal(stops.release)
    signal.signal(signal.SIGHUP, lambda *_: hangups.release())
    stopping = threading.Event()
    service = DealerService(patience_s=patience, backends=installed())
    service.load_backends()
    server, port = serve_streams(
        listen,
        {DEALER_METHOD: service.take},
        {"Describe": service.describe},
        timeout_s=120.0,
        max_streams=MAX_STREAMS,
        identity=identity,
    )

    def status() -> _Status:
        waiting, running, dealt = service.counts()
        return _Status(
            waiting=waiting,
            running=running,
            dealt=dealt,
            stopping=stopping.is_set(),
            certificate_days=None if identity is None else days_left(identity),
            certificate_problem="" if identity is None else problem(identity),
        )

    with monitored(status, health, metrics):
        click.echo(f"pi-dealer: listening on {listen.rpartition(':')[0]}:{port}")
        while not stops.acquire(timeout=0.5):
            if hangups.acquire(timeout=0):
                _LOG.warning("SIGHUP: a dealer reads its keys when it starts: for new ones stop it and start it again")
        stopping.set()
        _LOG.info("stopping: %d pairs have %g s to end", service.counts()[1], drain)
        ended = server.stop(drain)
        while not ended.wait(0.1):
            if stops.acquire(timeout=0):
                server.stop(0)
        _LOG.info("stopped")


@main.command()
@click.option("--dealer", envvar="PI_DEALER", default="127.0.0.1:7101", show_default=True, help="HOST:PORT")
@health_timeout
@link_options
def health(dealer: str, timeout: float, keys: Path | None, insecure: bool) -> None:
    """Exit with 0 if a dealer answers."""
    show_health(dealer, "dealer", timeout, open_identity(keys, insecure, dealer))


if __name__ == "__main__":
    main()
