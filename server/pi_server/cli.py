"""``pi-server``: serves one exported model privately; the weights never leave it."""

import logging
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from platformdirs import user_data_path

from pi_server.clients import open_register
from pi_server.clients_cli import COUNT, clients_commands, limit_options
from pi_server.native_log import native_log
from pi_server.options import ServerOptions
from pi_server.supervisor import Supervisor
from pi_server.upkeep import start_upkeep
from pi_system.artifact.store import load
from pi_system.backends.registry import SERVED_BY_DEFAULT
from pi_system.cli.artifact_path import ArtifactPath
from pi_system.cli.backends import BackendChoice
from pi_system.cli.cores import threads_option
from pi_system.cli.links import link_options, open_identity
from pi_system.cli.logs import LogOptions, chosen_log, start_log
from pi_system.cli.monitor import monitor_options, monitored
from pi_system.cli.program import program
from pi_system.cli.seconds import SECONDS
from pi_system.cli.service import health_timeout, on_stop_signal, raise_file_limit, show_health
from pi_system.cli.stores import store_commands
from pi_system.durable import remove_parts
from pi_system.program.reveal import REVEALS, Reveal
from pi_system.rpc.channel import Wrap, as_it_is
from pi_system.rpc.keys import AUTHORITY, VALID_DAYS, write_keys
from pi_system.rpc.server_session import Limits
from pi_system.rpc.tls import ROLES, host_of
from pi_system.rpc.transport import check_address
from pi_system.secure.index import Index

_LIMITS = Limits()
_LOG = logging.getLogger(__name__)


@program("pi-server")
def main() -> None:
    """The model owner's side of private inference."""


@main.command()
@click.option(
    "--artifact",
    type=ArtifactPath(),
    required=True,
    help="Folder of the exported model, or builtin:NAME (see pi-train builtin). Read once, and at SIGHUP.",
)
@click.option("--listen", default="127.0.0.1:7100", show_default=True, help="HOST:PORT; port 0: any free one.")
@monitor_options
@click.option("--dealer", envvar="PI_DEALER", default="127.0.0.1:7101", show_default=True, help="HOST:PORT")
@click.option(
    "--backend",
    "allowed",
    envvar="PI_SERVE_BACKEND",
    multiple=True,
    type=BackendChoice(),
    help="Allow only these (default: all that run the model but crypten, the baseline, whose logits tell weights).",
)
@click.option("--max-sessions", default=4, show_default=True, type=click.IntRange(1, 256), help="Sessions at once.")
@click.option(
    "--reserved",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="Of them, places that sessions in their offline phase leave free (one of them may prepare in any case).",
)
@click.option("--store", type=click.Path(path_type=Path), help="Private folder of offline material.")
@click.option("--timeout", default=120.0, show_default=True, type=SECONDS, help="A silent client is waited for.")
@click.option(
    "--prepare-limit", default=_LIMITS.prepare_s, show_default=True, type=SECONDS, help="For one offline phase in all."
)
@click.option(
    "--infer-limit", default=_LIMITS.infer_s, show_default=True, type=SECONDS, help="For one online phase in all."
)
@click.option("--drain", default=30.0, show_default=True, type=SECONDS, help="Sessions may go on after SIGTERM.")
@click.option("--insecure-provider", is_flag=True, help="Allow CrypTen's first-party provider: for comparisons only.")
@click.option(
    "--reveal",
    type=click.Choice(REVEALS),
    default="label",
    show_default=True,
    help="The most a client may learn: label, scores (logits rounded to a public step) or logits.",
)
@click.option(
    "--allow-profile",
    is_flag=True,
    help="Tell a client that asks how long each layer took here. Timing is a side channel: for measurements.",
)
@click.option(
    "--store-bytes",
    default=64_000_000_000,
    show_default=True,
    type=COUNT,
    metavar="BYTES",
    help="Material of all clients together, at rest.",
)
@click.option(
    "--keep-days",
    default=90.0,
    show_default=True,
    type=click.FloatRange(0.01, 36500),
    metavar="DAYS",
    help="Unused material is kept.",
)
@click.option(
    "--line/--no-line",
    default=True,
    show_default=True,
    help="Offer each session a TLS connection of its own, on a free port of the address listened on, for the messages "
    "of online phases: faster. A client that cannot reach it does without.",
)
@threads_option(exposed=True)
@limit_options("client-", " Of each client without a limit of its own (pi-server clients).")
@link_options
@click.pass_obj
def serve(
    wrap: Wrap | None,
    /,
    artifact: Path,
    listen: str,
    health: str | None,
    metrics: str | None,
    dealer: str,
    allowed: tuple[str, ...],
    max_sessions: int,
    reserved: int,
    store: Path | None,
    timeout: float,
    prepare_limit: float,
    infer_limit: float,
    drain: float,
    insecure_provider: bool,
    reveal: Reveal,
    allow_profile: bool,
    store_bytes: int,
    keep_days: float,
    line: bool,
    threads: int | None,
    keys: Path | None,
    insecure: bool,
    **client_limits: int | None,
) -> None:
    """Serve until stopped; prints one line with the address when ready.

    SIGTERM: no new session, those that run may end (--drain); a second one ends them. SIGHUP: artifact and keys are
    read again, for sessions that start from then on.
    """
    log = _begin()
    options = ServerOptions(
        identity=open_identity(keys, insecure, listen, role="server"),
        artifact=load(artifact),
        listen=listen,
        dealer=check_address(dealer),
        store_dir=_store_folder(store),
        allowed=allowed or SERVED_BY_DEFAULT,
        max_sessions=max_sessions,
        reserved=reserved,
        insecure_provider=insecure_provider,
        profile=allow_profile,
        reveal=reveal,
        timeout_s=timeout,
        limits=Limits(prepare_s=prepare_limit, infer_s=infer_limit),
        drain_s=drain,
        wrap=wrap or as_it_is,
        line_host=host_of(listen) if line else "",
        client_limits=_given(client_limits),
        room_bytes=store_bytes,
        keep_s=keep_days * 86400,
        log=log,
        threads=threads,
    )
    _run(options, partial(_read_again, artifact, keys, insecure), health, metrics)


def _read_again(artifact: Path, keys: Path | None, insecure: bool, now: ServerOptions) -> ServerOptions:
    identity = open_identity(keys, insecure, now.listen, role="server")
    return replace(now, artifact=load(artifact), identity=identity)


def _begin() -> LogOptions:
    log = chosen_log("pi-server")
    start_log(log)
    raise_file_limit()
    return log


def _given(client_limits: Mapping[str, int | None]) -> dict[str, int]:
    return {name.removeprefix("client_"): value for name, value in client_limits.items() if value is not None}


def _run(
    options: ServerOptions, reload: Callable[[ServerOptions], ServerOptions], health: str | None, metrics: str | None
) -> None:
    remove_parts(options.store_dir)  # first: on a full disk they may be what there is no room for
    open_register(options.store_dir)  # found damaged now rather than by every client
    Index(options.store_dir / "server").set(room=options.room_bytes, keep_s=options.keep_s)
    start_upkeep(options.store_dir)
    supervisor = Supervisor(options, lambda address: _ready(address, options), reload)
    on_stop_signal(supervisor.stop)
    signal.signal(signal.SIGHUP, lambda *_: supervisor.reload())
    with native_log(), monitored(supervisor.status, health, metrics):
        supervisor.run()


def _ready(address: str, options: ServerOptions) -> None:
    digest = options.artifact.public.digest[:16]
    click.echo(f"pi-server: listening on {address}, artifact {digest}, reveals {options.reveal}")


@main.command()
@click.option("--server", envvar="PI_SERVER", default="127.0.0.1:7100", show_default=True, help="HOST:PORT")
@health_timeout
@link_options
def health(server: str, timeout: float, keys: Path | None, insecure: bool) -> None:
    """Exit with 0 if a server answers."""
    show_health(server, "server", timeout, open_identity(keys, insecure, server))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--days", default=VALID_DAYS, show_default=True, type=click.IntRange(1, 3650), metavar="DAYS", help="Validity."
)
def keys(folder: Path, days: int) -> None:
    """Make the TLS keys of all three roles: FOLDER/server, FOLDER/client and FOLDER/dealer, one for each party.

    FOLDER/authority has the key that issues further clients (pi-server clients add): keep it on none of their machines.
    """
    write_keys(folder, days)
    for role in ROLES:
        click.echo(f"pi-{role}: --keys {folder / role}")
    click.echo(f"authority, to keep apart, since whoever has it can pose as any party: {folder / AUTHORITY}")


def _store_folder(store: Path | None) -> Path:
    return (store or user_data_path("pi-system") / "server").absolute()


main.add_command(store_commands("server", _store_folder))
main.add_command(clients_commands(_store_folder))

if __name__ == "__main__":
    main()
