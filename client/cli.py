"""``pi-client``: classifies pictures privately; they never leave it in the clear."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click

from client.picture import load_pictures
from client.progress import shown
from client.result import Result
from client.store import ClientStore
from pi_system.artifact.store import load_public
from pi_system.cli.errors import PiGroup
from pi_system.cli.links import link_options, open_identity
from pi_system.cli.service import health_timeout, log_to_stderr, show_health
from pi_system.errors import ArtifactDigestError, ConfigError
from pi_system.rpc.client_session import ClientSession, Endpoint
from pi_system.rpc.registry import BACKENDS, DEFAULT_BACKEND, find_backend
from pi_system.rpc.session_config import Reveal, SessionConfig

__all__ = ["main"]

_SERVER = click.option(
    "--server", envvar="PI_SERVER", default="127.0.0.1:7100", show_default=True, help="HOST:PORT of the server."
)
_SESSION = (
    _SERVER,
    click.option("--dealer", envvar="PI_DEALER", default="127.0.0.1:7101", show_default=True, help="HOST:PORT"),
    click.option("--backend", type=click.Choice(list(BACKENDS)), default=DEFAULT_BACKEND, show_default=True),
    click.option("--artifact", type=click.Path(path_type=Path), help="Own copy of the model's public part."),
    click.option("--digest", default="", help="Accept only a model whose digest starts with this (hex)."),
    click.option("--link", default="loopback", show_default=True, help="Imitate a link: lan, wan or MBIT_S,RTT_MS."),
    click.option("--store", type=click.Path(path_type=Path), help="Private folder of offline material."),
    click.option("--timeout", default=120.0, show_default=True, help="Seconds a silent peer is waited for."),
    click.option("--connect-timeout", default=10.0, show_default=True, help="Seconds a server is tried."),
    click.option("--insecure-provider", is_flag=True, help="CrypTen's first-party provider: for comparisons only."),
    link_options,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Common:
    """The options both session commands have."""

    server: str
    dealer: str
    backend: str
    artifact: Path | None
    digest: str
    link: str
    store: Path | None
    timeout: float
    connect_timeout: float
    insecure_provider: bool
    keys: Path | None
    insecure: bool


def _session_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SESSION):
        command = option(command)
    return command


def _open(common: _Common, store: ClientStore, reveal: Reveal = "logits") -> ClientSession:
    endpoint = Endpoint(
        server=common.server,
        dealer=common.dealer,
        store_dir=store.path,
        connect_timeout_s=common.connect_timeout,
        timeout_s=common.timeout,
        identity=open_identity(common.keys, common.insecure, common.server),
    )
    config = SessionConfig(
        backend=common.backend,
        artifact_digest="",
        client_id=store.client_id(),
        reveal=reveal,
        link=common.link,
        insecure_provider=common.insecure_provider,
    )
    public = load_public(common.artifact) if common.artifact else None
    session = ClientSession(endpoint, config, public)
    found = session.public.public.digest
    if not found.startswith(common.digest.lower()):
        session.close()
        raise ArtifactDigestError(f"artifact: expected a digest that starts with {common.digest}, found {found[:16]}")
    return session


@click.group(cls=PiGroup)
def main() -> None:
    """The picture owner's side of private inference."""
    log_to_stderr("pi-client", logging.WARNING)


@main.command()
@click.argument("pictures", metavar="PICTURE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@_session_options
@click.option("--reveal", type=click.Choice(["logits", "argmax"]), default="logits", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def infer(pictures: tuple[Path, ...], reveal: str, as_json: bool, **options: Any) -> None:
    """Classify pictures (PNG or JPEG); prepares offline material first where too little is left."""
    common, paths = _Common(**options), list(pictures)
    store = ClientStore(common.store)
    with _open(common, store, cast(Reveal, reveal)) as session:
        inputs = load_pictures(paths, session.public.public.preprocess)
        missing = len(paths) - session.available()
        if missing > 0:
            store.note_offline(session.config, session.prepare(missing))
        outputs, online = session.infer(inputs)
        result = Result(
            model=session.public.public,
            config=session.config,
            paths=paths,
            outputs=outputs,
            online=online,
            offline=store.noted_offline(session.config),
            prepared_now=missing > 0,
        )
    click.echo(json.dumps(result.as_json()) if as_json else "\n".join(result.lines()))


@main.command()
@_session_options
@click.option("--count", type=click.IntRange(1, 65536), required=True, help="Inferences to have ready.")
def prepare(count: int, **options: Any) -> None:
    """Run the offline phase ahead of time, for what is missing to COUNT inferences.

    What a stopped run finished is kept, and the same command goes on from there. Inferences may run meanwhile.
    """
    common = _Common(**options)
    if not find_backend(common.backend).DURABLE:
        raise ConfigError(f"prepare: backend {common.backend} keeps no material between sessions, infer prepares it")
    store = ClientStore(common.store)
    with _open(common, store) as session:
        missing = count - session.available()
        if missing <= 0:
            click.echo(f"{session.available()} ready, nothing to prepare")
            return
        try:
            with shown(session.available, count):
                cost = session.prepare(missing)
        except KeyboardInterrupt:
            ready = session.available()
            raise KeyboardInterrupt(f"stopped with {ready} ready; the same command prepares the rest") from None
        store.note_offline(session.config, cost)
        ready = session.available()
    click.echo(f"prepared {missing}, {ready} ready; {cost.offline_ms:.1f} ms, {cost.offline_bytes:,} bytes")


@main.command()
@_SERVER
@health_timeout
@link_options
def ping(server: str, timeout: float, keys: Path | None, insecure: bool) -> None:
    """Exit with 0 if a server answers."""
    show_health(server, "server", timeout, open_identity(keys, insecure, server))


if __name__ == "__main__":
    main()
