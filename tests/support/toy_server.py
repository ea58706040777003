"""``python toy_server.py ARTIFACT LISTEN DEALER MAX_SESSIONS REVEAL [KEYS]``: pi-server with the toy backend."""

import sys
from pathlib import Path

import click

from pi_server.options import ServerOptions
from pi_server.supervisor import Supervisor
from pi_system.cli.service import log_to_stderr, on_stop_signal
from pi_system.program.reveal import Reveal
from pi_system.rpc.tls import Identity

BACKENDS = {"toy": "toy_backend", "insecure-ideal": "insecure_ideal"}


def main(artifact: str, listen: str, dealer: str, max_sessions: str, reveal: Reveal, keys: str | None = None) -> None:
    log_to_stderr("pi-server")
    options = ServerOptions(
        artifact=Path(artifact),
        listen=listen,
        dealer=dealer,
        store_dir=Path(artifact).parent / "store",
        allowed=tuple(BACKENDS),
        max_sessions=int(max_sessions),
        reveal=reveal,
        timeout_s=20.0,
        backends=BACKENDS,
        identity=Identity.load(Path(keys)) if keys else None,
    )
    supervisor = Supervisor(options, lambda address: click.echo(f"listening on {address}"))
    on_stop_signal(supervisor.stop)
    supervisor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]  # tests name a policy
