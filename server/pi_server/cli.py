"""``pi-server``: serves one exported model privately; the weights never leave it."""

from pathlib import Path

import click
from platformdirs import user_data_path

from pi_server.options import ServerOptions
from pi_server.supervisor import Supervisor
from pi_system.artifact.store import load
from pi_system.backends.registry import BACKENDS, SERVED_BY_DEFAULT
from pi_system.cli.artifact_path import ArtifactPath
from pi_system.cli.links import link_options, open_identity
from pi_system.cli.program import program
from pi_system.cli.service import health_timeout, log_to_stderr, on_stop_signal, show_health
from pi_system.cli.stores import store_commands
from pi_system.program.reveal import REVEALS, Reveal
from pi_system.rpc.channel import AS_IT_IS, Wrap
from pi_system.rpc.keys import VALID_DAYS, write_keys
from pi_system.rpc.tls import ROLES
from pi_system.rpc.transport import check_address

__all__ = ["main"]


@program("pi-server")
def main() -> None:
    """The model owner's side of private inference."""


@main.command()
@click.option(
    "--artifact",
    type=ArtifactPath(),
    required=True,
    help="Folder of the exported model, or builtin:NAME (see pi-train builtin).",
)
@click.option("--listen", default="127.0.0.1:7100", show_default=True, help="HOST:PORT; port 0: any free one.")
@click.option("--dealer", envvar="PI_DEALER", default="127.0.0.1:7101", show_default=True, help="HOST:PORT")
@click.option(
    "--backend",
    "allowed",
    multiple=True,
    type=click.Choice(list(BACKENDS)),
    help="Allow only these (default: all but crypten, the baseline, whose logits tell weights).",
)
@click.option("--max-sessions", default=4, show_default=True, type=click.IntRange(1, 256), help="Sessions at once.")
@click.option("--store", type=click.Path(path_type=Path), help="Private folder of offline material.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds a silent client is waited for.")
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
@link_options
@click.pass_obj
def serve(
    wrap: Wrap | None,
    artifact: Path,
    listen: str,
    dealer: str,
    allowed: tuple[str, ...],
    max_sessions: int,
    store: Path | None,
    timeout: float,
    insecure_provider: bool,
    reveal: Reveal,
    allow_profile: bool,
    keys: Path | None,
    insecure: bool,
) -> None:
    """Serve until stopped; prints one line with the address when ready."""
    log_to_stderr("pi-server")
    identity = open_identity(keys, insecure, listen)
    digest = load(artifact).public.digest
    options = ServerOptions(
        artifact=artifact.absolute(),
        listen=listen,
        dealer=check_address(dealer),
        store_dir=_store_folder(store),
        allowed=allowed or SERVED_BY_DEFAULT,
        max_sessions=max_sessions,
        insecure_provider=insecure_provider,
        profile=allow_profile,
        reveal=reveal,
        timeout_s=timeout,
        identity=identity,
        wrap=wrap or AS_IT_IS,
    )
    supervisor = Supervisor(
        options,
        lambda address: click.echo(f"pi-server: listening on {address}, artifact {digest[:16]}, reveals {reveal}"),
    )
    on_stop_signal(supervisor.stop)
    supervisor.run()


@main.command()
@click.option("--server", envvar="PI_SERVER", default="127.0.0.1:7100", show_default=True, help="HOST:PORT")
@health_timeout
@link_options
def health(server: str, timeout: float, keys: Path | None, insecure: bool) -> None:
    """Exit with 0 if a server answers."""
    show_health(server, "server", timeout, open_identity(keys, insecure, server))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--days", default=VALID_DAYS, show_default=True, type=click.IntRange(1, 3650), help="Validity.")
def keys(folder: Path, days: int) -> None:
    """Make the TLS keys of all three roles: FOLDER/server, FOLDER/client and FOLDER/dealer, one for each party."""
    write_keys(folder, days)
    for role in ROLES:
        click.echo(f"pi-{role}: --keys {folder / role}")


def _store_folder(store: Path | None) -> Path:
    return (store or user_data_path("pi-system") / "server").absolute()


main.add_command(store_commands("server", _store_folder))

if __name__ == "__main__":
    main()
