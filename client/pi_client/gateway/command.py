"""The command ``pi-client gateway``."""

import threading
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, Final

import click

from pi_client.connect import SessionOptions, session_options
from pi_client.gateway.gateway import Gateway
from pi_client.gateway.messages import ModelMetadata
from pi_client.gateway.stock import Stock
from pi_system.api.client import Client, Served
from pi_system.backends.registry import keeps_material
from pi_system.cli.links import open_identity
from pi_system.cli.seconds import SECONDS
from pi_system.cli.service import Signals, describe, on_stop_signal
from pi_system.errors import ChannelError, ConfigError
from pi_system.extras import needs
from pi_system.rpc.tls import check_plaintext
from pi_system.rpc.transport import check_address

_Told = Future[tuple[ModelMetadata, Served]]
_MB: Final = 1_000_000
_HEALTH_S: Final = 3.0
_POLL_S: Final = 0.2


@click.command()
@click.option("--listen", default="127.0.0.1:8000", show_default=True, help="HOST:PORT of REST; port 0: any free one.")
@click.option("--grpc", default="127.0.0.1:8001", show_default=True, help="HOST:PORT of gRPC; port 0: any free one.")
@click.option("--name", default="", help="Of the model, for clients; by default its own, with - for what URLs lack.")
@click.option("--prepare", type=click.IntRange(0, 65536), default=0, help="Keep so many inferences prepared.")
@click.option(
    "--waiting",
    type=click.IntRange(0, 4096),
    default=16,
    show_default=True,
    help="Requests that may wait while one is answered; others are told that it is busy.",
)
@click.option("--max-request-mb", type=click.IntRange(1, 1024), default=64, show_default=True, help="Of one request.")
@click.option("--drain", default=30.0, show_default=True, type=SECONDS, help="Requests may go on after SIGTERM.")
@click.option(
    "--insecure-listen",
    is_flag=True,
    help="Listen beyond this machine, in the clear: pictures cross the network, and whoever reaches it may ask.",
)
@session_options
def gateway(
    listen: str,
    grpc: str,
    name: str,
    prepare: int,
    waiting: int,
    max_request_mb: int,
    drain: float,
    insecure_listen: bool,
    **options: Any,
) -> None:
    """Speak the Open Inference Protocol (KServe v2) on this machine, for programs that know nothing of this one.

    Their pictures come in the clear as far as here, and not further: the private protocol runs behind.

    SIGTERM: no new request, those that wait may end (--drain); a second one ends them.
    """
    common = SessionOptions(**options)
    for address in (listen, grpc):
        _check_listen(address, insecure_listen)
    if prepare and not keeps_material(common.backend):
        raise ConfigError(f"prepare: backend {common.backend} keeps no material, every request prepares it")
    listening = _listeners()
    stops = Signals()
    on_stop_signal(stops.release)
    identity = open_identity(common.keys, common.insecure, common.server, role="client")
    check = partial(describe, common.server, "server", min(_HEALTH_S, common.connect_timeout), identity)
    with _client(common) as client, Stock(partial(_prepare, common, client), prepare) as stock:

        def after() -> None:
            if prepare and 2 * client.available() < prepare:
                stock.used()

        serves = Gateway(client, check, name=name, waiting=waiting, after=after)
        settings = {
            "waiting": waiting,
            "most_bytes": max_request_mb * _MB,
            "drain_s": drain,
            "anywhere": insecure_listen,
        }
        with listening(serves, listen, grpc, **settings) as found:
            click.echo(f"pi-client gateway: listening on {found.rest}, gRPC {found.grpc}")
            told: _Told | None = serves.ask()
            while not stops.acquire(timeout=_POLL_S):
                told = _tell(serves, told)
            serves.stop()
            threading.Thread(target=lambda: stops.acquire() and found.force(), daemon=True).start()
        serves.queue.close()


def _tell(serves: Gateway, told: _Told | None) -> _Told | None:
    """Say once which model it is. Raises PiError for what will not change by itself; a server may yet come."""
    if told is None or not told.done():
        return told
    try:
        found, served = told.result()
    except ChannelError as error:
        click.echo(f"{error}; readiness says when it answers", err=True)
        return None
    outputs = ", ".join(spec.name for spec in found.outputs)
    click.echo(f"pi-client gateway: model {found.name}, version {found.version}, outputs {outputs}")
    if served.choice is not None:
        click.echo(f"pi-client gateway: backend {served.choice.line()}")
    return None


def _check_listen(address: str, anywhere: bool) -> None:
    check_address(address)
    try:
        check_plaintext(address)
    except ConfigError:
        if not anywhere:
            raise ConfigError(
                f"listen: expected an address of this machine such as 127.0.0.1, found {address}: pictures would cross "
                "the network in the clear; --insecure-listen allows it"
            ) from None


def _listeners() -> Any:
    with needs("web", "gateway"):
        from pi_client.gateway.serve import listening
    return listening


def _client(common: SessionOptions) -> Client:
    if common.insecure_provider:
        raise ConfigError("gateway: expected no --insecure-provider, which is for comparisons, found it")
    return Client(
        common.server,
        keys=common.keys,
        insecure=common.insecure,
        backend=common.backend,
        reveal=common.reveal,
        dealer=common.dealer,
        artifact=common.artifact,
        digest=common.digest,
        store=common.store,
        timeout_s=common.timeout,
        connect_timeout_s=common.connect_timeout,
        objective=common.objective,
        calibration=common.calibration,
    )


def _prepare(common: SessionOptions, answers: Client, count: int) -> int:
    """In a session of its own, for the backend of the one that answers."""
    with _client(replace(common, backend=answers.served().backend)) as client:
        return client.prepare(count)
