"""The options of a session, and opening one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from pi_client.choosing import StoreChooser
from pi_client.store import ClientStore
from pi_client.waiting import BusyLines
from pi_system.artifact.store import load_public
from pi_system.backends.registry import AUTO
from pi_system.cli.artifact_path import ArtifactPath
from pi_system.cli.backends import BackendChoice
from pi_system.cli.cores import threads_option
from pi_system.cli.links import link_options, open_identity
from pi_system.cli.program import with_options
from pi_system.cli.seconds import SECONDS
from pi_system.cost import OBJECTIVES, Objective
from pi_system.errors import ArtifactDigestError, BusyError
from pi_system.program.reveal import REVEALS, Reveal
from pi_system.rpc.channel import Wrap, as_it_is
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.endpoint import Endpoint
from pi_system.rpc.session_config import SessionConfig

LOCAL_DEALER: Final = "127.0.0.1:7101"
"""Of backends that were named, where no dealer was."""
server_option = click.option(
    "--server", envvar="PI_SERVER", default="127.0.0.1:7100", show_default=True, help="HOST:PORT of the server."
)
session_options = with_options(
    server_option,
    click.option(
        "--dealer",
        envvar="PI_DEALER",
        show_default=f"{LOCAL_DEALER} for a named backend",
        help="HOST:PORT of one that both trust. auto takes a backend that needs it only if it is named.",
    ),
    click.option(
        "--backend",
        type=BackendChoice(AUTO),
        default=AUTO,
        show_default=True,
        help="table (models of 10 compared bits or fewer), gmw and gc need nobody else, fss and crypten a dealer; "
        "auto: the fastest of the former, and of fss where a dealer is named, over this link as predicted; what lies "
        "prepared comes first.",
    ),
    click.option(
        "--objective",
        type=click.Choice(OBJECTIVES),
        default="online",
        show_default=True,
        help="What auto makes least: the online time, or that of both phases, for who prepares nothing ahead.",
    ),
    click.option(
        "--calibration",
        envvar="PI_CALIBRATION",
        type=click.Path(path_type=Path),
        help="Prices for auto, of benchmarks/calibrate.py; by default those that ship.",
    ),
    click.option(
        "--reveal",
        type=click.Choice(REVEALS),
        help="Learn no more than this; by default what the server reveals. Material is prepared for one of them.",
    ),
    click.option("--artifact", type=ArtifactPath(), help="Own copy of the model's public part, or builtin:NAME."),
    click.option("--digest", default="", help="Accept only a model whose digest starts with this (hex)."),
    click.option("--store", type=click.Path(path_type=Path), help="Private folder of offline material."),
    click.option(
        "--timeout",
        default=120.0,
        show_default=True,
        type=SECONDS,
        help="A silent peer or a busy server is waited for.",
    ),
    click.option("--connect-timeout", default=10.0, show_default=True, type=SECONDS, help="A server is tried."),
    threads_option(),
    click.option("--insecure-provider", is_flag=True, help="CrypTen's first-party provider: for comparisons only."),
    link_options,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """The values of ``session_options``; their help texts say what they are."""

    server: str
    dealer: str | None
    backend: str
    reveal: Reveal | None
    artifact: Path | None
    digest: str
    store: Path | None
    timeout: float
    connect_timeout: float
    insecure_provider: bool
    keys: Path | None
    insecure: bool
    objective: Objective = "online"
    calibration: Path | None = None


def open_session(
    common: SessionOptions,
    store: ClientStore,
    *,
    profile: bool = False,
    prepares: bool = False,
    ticket: str = "",
    on_busy: Callable[[BusyError], None] | None = None,
    wrap: Wrap = as_it_is,
) -> ClientSession:
    """Connect to the server that the options name, and wait for a place there.

    Args:
        common: the options.
        store: the client's.
        profile: keep profiles.
        prepares: the session starts with an offline phase.
        ticket: of a refusal.
        on_busy: called while the server has no place; None: lines on stderr say so.
        wrap: put around the session's channels; for measurements, and the demo.

    Raises:
        BusyError: there was no place in time.
        ConfigError, ArtifactError, ChannelError: as ClientSession.
    """
    endpoint = Endpoint(
        server=common.server,
        dealer=common.dealer or LOCAL_DEALER,
        store_dir=store.path,
        connect_timeout_s=common.connect_timeout,
        timeout_s=common.timeout,
        busy_timeout_s=common.timeout,
        on_busy=on_busy or BusyLines(),
        identity=open_identity(common.keys, common.insecure, common.server, role="client"),
        wrap=wrap,
    )
    config = SessionConfig(
        backend=common.backend,
        artifact_digest="",
        client_id=store.client_id(),
        reveal=common.reveal or "",
        insecure_provider=common.insecure_provider,
        profile=profile,
    )
    public = load_public(common.artifact) if common.artifact else None
    chooser = _chooser(common, endpoint, config, prepares)
    session = ClientSession(endpoint, config, public, prepares=prepares, ticket=ticket, chooser=chooser)
    found = session.public.public.digest
    if not found.startswith(common.digest.lower()):
        session.close()
        raise ArtifactDigestError(f"artifact: expected a digest that starts with {common.digest}, found {found[:16]}")
    return session


def _chooser(common: SessionOptions, endpoint: Endpoint, config: SessionConfig, ahead: bool) -> StoreChooser:
    """Says what ``auto`` stands for; ``ahead``: in a session that prepares."""
    return StoreChooser(
        root=endpoint.store_dir,
        client_id=config.client_id,
        dealer=common.dealer,
        identity=endpoint.identity,
        timeout_s=common.connect_timeout,
        objective=common.objective,
        calibration=common.calibration,
        ahead=ahead,
    )
