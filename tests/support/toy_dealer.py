"""``python toy_dealer.py``: the real dealer service in a process of its own, dealing for the toy backend."""

import threading

import click

from pi_system.cli.logs import LogOptions, start_log
from pi_system.rpc.dealer_link import DEALER_METHOD
from pi_system.rpc.dealer_service import DealerService
from pi_system.rpc.listen import serve_streams


def main() -> None:
    start_log(LogOptions(program="pi-dealer"))
    service = DealerService(patience_s=20.0, backends={"toy": "toy_backend"})
    _, port = serve_streams(
        "127.0.0.1:0", {DEALER_METHOD: service.take}, {"Describe": service.describe}, timeout_s=20.0, max_streams=16
    )
    click.echo(f"listening on 127.0.0.1:{port}")
    threading.Event().wait()


if __name__ == "__main__":
    main()
