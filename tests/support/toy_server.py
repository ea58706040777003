"""``python toy_server.py ARTIFACT LISTEN DEALER MAX_SESSIONS REVEAL KEYS|- [NAME=NUMBER...]``: pi-server's toy."""

import sys
from pathlib import Path

import click

from pi_server.options import ServerOptions
from pi_server.supervisor import Supervisor
from pi_system.artifact import load
from pi_system.cli.logs import LogOptions, start_log
from pi_system.cli.service import on_stop_signal
from pi_system.program.reveal import Reveal
from pi_system.rpc.server_session import Limits
from pi_system.rpc.tls import Identity

BACKENDS = {"toy": "toy_backend", "insecure-ideal": "insecure_ideal"}


def main(
    artifact: str, listen: str, dealer: str, max_sessions: str, reveal: Reveal, keys: str = "-", *numbers: str
) -> None:
    chosen = {name: float(value) for name, _, value in (option.partition("=") for option in numbers)}
    start_log(LogOptions(program="pi-server"))
    options = ServerOptions(
        artifact=load(Path(artifact)),
        listen=listen,
        dealer=dealer,
        store_dir=Path(artifact).parent / "store",
        allowed=tuple(BACKENDS),
        max_sessions=int(max_sessions),
        reveal=reveal,
        reserved=int(chosen.get("reserved", 0)),
        timeout_s=20.0,
        drain_s=chosen.get("drain_s", 30.0),
        limits=Limits(infer_s=chosen.get("infer_s", 600.0), prepare_s=chosen.get("prepare_s", 600.0)),
        backends=BACKENDS,
        identity=None if keys == "-" else Identity.load(Path(keys)),
    )
    supervisor = Supervisor(options, lambda address: click.echo(f"listening on {address}"))
    on_stop_signal(supervisor.stop)
    supervisor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]  # tests name a policy
