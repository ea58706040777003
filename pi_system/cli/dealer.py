"""``pi-dealer``: deals correlations to the two parties of a session, and sees neither weights nor pictures."""

import threading
from pathlib import Path

import click

from pi_system.cli.links import link_options, open_identity
from pi_system.cli.program import program
from pi_system.cli.seconds import SECONDS
from pi_system.cli.service import health_timeout, log_to_stderr, on_stop_signal, raise_file_limit, show_health
from pi_system.rpc.dealer_link import DEALER_METHOD
from pi_system.rpc.dealer_service import DealerService
from pi_system.rpc.listen import serve_streams

MAX_STREAMS = 64


@program("pi-dealer")
def main() -> None:
    """The dealer: a third party that client and server both trust not to collude with the other."""


@main.command()
@click.option("--listen", default="127.0.0.1:7101", show_default=True, help="HOST:PORT; port 0: any free one.")
@click.option("--patience", default=30.0, show_default=True, type=SECONDS, help="A party waits for the other.")
@link_options
def serve(listen: str, patience: float, keys: Path | None, insecure: bool) -> None:
    """Serve until stopped; prints one line with the address when ready."""
    log_to_stderr("pi-dealer")
    raise_file_limit()
    identity = open_identity(keys, insecure, listen)
    stop = threading.Event()
    on_stop_signal(stop.set)
    service = DealerService(patience_s=patience)
    service.load_backends()
    server, port = serve_streams(
        listen,
        {DEALER_METHOD: service.take},
        {"Describe": service.describe},
        timeout_s=120.0,
        max_streams=MAX_STREAMS,
        identity=identity,
    )
    click.echo(f"pi-dealer: listening on {listen.rpartition(':')[0]}:{port}")
    while not stop.wait(0.5):
        pass
    server.stop(0).wait(1.0)


@main.command()
@click.option("--dealer", envvar="PI_DEALER", default="127.0.0.1:7101", show_default=True, help="HOST:PORT")
@health_timeout
@link_options
def health(dealer: str, timeout: float, keys: Path | None, insecure: bool) -> None:
    """Exit with 0 if a dealer answers."""
    show_health(dealer, "dealer", timeout, open_identity(keys, insecure, dealer))


if __name__ == "__main__":
    main()
