"""``pi-client status``: what a server is, what is prepared for it here, and how long the certificate holds."""

import json
from pathlib import Path
from typing import Any

import click

from pi_client.connect import server_option
from pi_client.store import ClientStore
from pi_system._proto.v1.control_pb2 import Description
from pi_system.cli.links import link_options, open_identity
from pi_system.cli.service import describe, health_timeout
from pi_system.rpc.certificate import days_left
from pi_system.secure.stores import all_stores
from pi_system.version import PROTOCOL_VERSION


@click.command()
@server_option
@health_timeout
@click.option("--store", type=click.Path(path_type=Path), help="Private folder of offline material.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@link_options
def status(server: str, timeout: float, store: Path | None, as_json: bool, keys: Path | None, insecure: bool) -> None:
    """Show what a server offers, what this store has prepared for its model, and the certificate's days.

    The server is asked what it is, which opens no session; what it has of the material is found when one opens.
    """
    identity = open_identity(keys, insecure, server, role="client")
    found = describe(server, "server", timeout, identity)
    told = {
        "schema": 1,
        "server": server,
        "protocol": found.protocol_version,
        "model": found.model,
        "artifact_digest": found.artifact_digest,
        "backends": list(found.backends),
        "reveal": found.reveal,
        "prepared": prepared_for(ClientStore(store).path, found),
        "certificate_days": None if identity is None else days_left(identity),
    }
    click.echo(json.dumps(told) if as_json else "\n".join(_lines(told)))


def prepared_for(root: Path, found: Description) -> list[dict[str, Any]]:
    """Unused material for a server's model, an entry a backend and what it was prepared to reveal."""
    entries = []
    for stored in all_stores(root, "client"):
        count, nbytes = stored.unused()
        if count and found.artifact_digest.startswith(stored.model):
            entries.append({"backend": stored.backend, "reveal": stored.reveal, "count": count, "bytes": nbytes})
    return entries


def _lines(told: dict[str, Any]) -> list[str]:
    """The same for people."""
    other = "" if told["protocol"] == PROTOCOL_VERSION else f" (this program has {PROTOCOL_VERSION})"
    days = told["certificate_days"]
    prepared = [
        f"{one['backend']}, {one['reveal']}: {one['count']:,} inferences, {one['bytes']:,} bytes"
        for one in told["prepared"]
    ] or ["nothing for this model: infer prepares first, or pi-client prepare ahead"]
    return [
        f"server       {told['server']}, protocol {told['protocol']}{other}",
        f"model        {told['model']}, artifact {told['artifact_digest'][:16]}",
        f"backends     {', '.join(told['backends'])}",
        f"reveals      at most {told['reveal']}",
        *(f"prepared     {line}" for line in prepared),
        "certificate  " + ("none (--insecure)" if days is None else f"{days:.1f} days left"),
    ]
