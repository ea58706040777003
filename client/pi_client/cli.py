"""``pi-client``: classifies pictures privately; they never leave it in the clear."""

import json
from pathlib import Path
from typing import Any

import click

from pi_client.classify import classify
from pi_client.connect import SessionOptions, open_session, server_option, session_options
from pi_client.gateway.command import gateway
from pi_client.output import check_output, show
from pi_client.preparation import Preparation
from pi_client.profile import check_profile_path, save_profile
from pi_client.progress import shown
from pi_client.sample import sample
from pi_client.status import status
from pi_client.store import ClientStore
from pi_system.backends.registry import keeps_material
from pi_system.cli.links import link_options, open_identity
from pi_system.cli.logs import chosen_log, start_log
from pi_system.cli.program import program
from pi_system.cli.service import health_timeout, show_health
from pi_system.cli.stores import store_commands
from pi_system.errors import ConfigError
from pi_system.extras import check_installed
from pi_system.interrupts import interruptible


@program("pi-client")
def main() -> None:
    """The picture owner's side of private inference."""
    start_log(chosen_log("pi-client", "WARNING"))


@main.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@session_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--top-k", type=click.IntRange(1), help="Name so many classes of each input, with scores where they are revealed."
)
@click.option(
    "--profile",
    type=click.Path(path_type=Path),
    help="Write a trace (Chrome, Perfetto) of time, bytes and rounds by layer; table on stderr.",
)
def infer(files: tuple[Path, ...], as_json: bool, top_k: int | None, profile: Path | None, **options: Any) -> None:
    """Classify pictures (PNG, JPEG, TIFF, DICOM) or arrays (.npy, or .csv with one input a row).

    A folder stands for all of them in it, a pattern such as 'scans/*.png' for those that match, sorted by name.

    Prepares offline material first where too little is left. On a terminal stderr shows how far it is. Of inputs that
    take several batches, a run that fails or is stopped prints what was answered.
    """
    common = SessionOptions(**options)
    store = ClientStore(common.store)
    check_output()
    if profile is not None:
        check_profile_path(profile)
    result, profiles, stopped = classify(common, store, list(files), profile=profile is not None, top_k=top_k)
    if len(result.names) < result.asked:
        click.echo(f"only the first {len(result.names):,} of {result.asked:,} inputs are answered", err=True)
    saved = [] if profile is None else save_profile(profile, result, profiles)
    show(json.dumps(result.as_json()) if as_json else "\n".join(result.lines()))
    if saved:
        click.echo("\n".join(saved), err=True)
    if stopped is not None:
        raise stopped
    result.check_answers()


@main.command()
@session_options
@click.option("--count", type=click.IntRange(1, 65536), required=True, help="Inferences to have ready.")
def prepare(count: int, **options: Any) -> None:
    """Run the offline phase ahead of time, for what is missing to COUNT inferences.

    What a stopped run finished is kept, and the same command goes on from there; without a dealer the first of up to
    16 inferences takes longest, since they share ciphertexts. Inferences may run meanwhile.
    """
    common = SessionOptions(**options)
    if not keeps_material(common.backend):
        raise ConfigError(f"prepare: backend {common.backend} keeps no material between sessions, infer prepares it")
    store = ClientStore(common.store)
    with interruptible(), open_session(common, store, prepares=True) as session:
        if session.choice is not None:
            click.echo(f"backend {session.choice.line()}")
        missing = count - session.available()
        if missing <= 0:
            click.echo(f"{session.available()} ready, nothing to prepare")
            return
        ahead = Preparation.of(session, missing, count)
        click.echo(ahead.line())
        try:
            with shown(lambda: ahead):
                cost = session.prepare(missing)
        except KeyboardInterrupt:
            ready = session.available()
            raise KeyboardInterrupt(f"stopped with {ready} ready; the same command prepares the rest") from None
        store.note_offline(session.config, cost)
        ready = session.available()
    took = f"{cost.offline_ms:.1f} ms, {cost.offline_bytes:,} bytes over all links"
    click.echo(f"prepared {missing}, {ready} ready; {took}, request {session.request}")


@main.command()
@server_option
@health_timeout
@link_options
def ping(server: str, timeout: float, keys: Path | None, insecure: bool) -> None:
    """Exit with 0 if a server answers."""
    show_health(server, "server", timeout, open_identity(keys, insecure, server))


@main.command()
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--no-browser", is_flag=True, help="Print the page's address, and open no browser.")
def demo(port: int, no_browser: bool) -> None:
    """Show one private inference in the browser, with both parties as processes on this machine. Protects nothing."""
    check_installed("pi-client demo", "server", "web")
    from pi_system.demo.serve import run_demo

    run_demo(port, browser=not no_browser)


main.add_command(sample)
main.add_command(status)
main.add_command(gateway)
main.add_command(store_commands("client", lambda path: ClientStore(path).path))

if __name__ == "__main__":
    main()
