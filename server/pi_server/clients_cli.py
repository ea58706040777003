"""``pi-server clients``: who is served, and how much of it."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography import x509

from pi_server.clients import CLIENTS_FILE, LIMITS, SHARED, ClientRecord, Clients, open_register
from pi_system.cli.errors import PiGroup
from pi_system.errors import ConfigError, InputError
from pi_system.rpc.certificate import names_in
from pi_system.rpc.keys import VALID_DAYS, issue_client
from pi_system.rpc.tls import CERTIFICATE_FILE, caller_of, client_name, fingerprint_of

_HELP = {
    "sessions": "Sessions at once.",
    "preparations": "Inferences prepared a day (UTC).",
    "inferences": "Inferences a day (UTC).",
    "bytes": "Bytes of material at rest, over all models and ids.",
}
COUNT = click.IntRange(0, (1 << 63) - 1)
"""What the register and the index (sqlite) hold."""


def limit_options(prefix: str = "", what: str = "") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Options of the limits of a client."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for limit in reversed(LIMITS):
            named = f"--{prefix}{limit}"
            default = 16_000_000_000 if prefix and limit == "bytes" else None
            option = click.option(named, type=COUNT, help=_HELP[limit] + what, default=default, show_default=True)
            command = option(command)
        return command

    return decorate


_AUTHORITY = click.option(
    "--authority",
    type=click.Path(path_type=Path),
    help="Issue keys into the folder OUT, which the client gets: FOLDER/authority of `pi-server keys FOLDER`.",
)
_STORE = click.option("--store", type=click.Path(path_type=Path), help="The server's, as of `pi-server serve`.")


def clients_commands(folder_of: Callable[[Path | None], Path]) -> click.Group:
    """The group ``clients``; ``folder_of``: the server's store, for the value of --store."""

    @click.group("clients", cls=PiGroup)
    def clients() -> None:
        """Register clients by certificate, limit them, shut them out. A running server sees it at once."""

    _certificates(clients, folder_of)
    _standing(clients, folder_of)
    return clients


def _certificates(clients: click.Group, folder_of: Callable[[Path | None], Path]) -> None:
    """``add`` and ``issue``."""

    @clients.command("add")
    @click.argument("name")
    @click.argument("out", type=click.Path(path_type=Path), required=False)
    @_AUTHORITY
    @click.option(
        "--certificate", type=click.Path(path_type=Path), help="Register one that was issued elsewhere; -: on stdin."
    )
    @click.option(
        "--days", default=VALID_DAYS, show_default=True, type=click.IntRange(1, 3650), metavar="DAYS", help="Validity."
    )
    @limit_options()
    @_STORE
    def add(
        name: str,
        out: Path | None,
        authority: Path | None,
        certificate: Path | None,
        days: int,
        store: Path | None,
        **limits: int | None,
    ) -> None:
        """Give the client NAME a certificate of its own; after `revoke` another one, and it keeps its limits."""
        client_name(name)
        register = open_register(folder_of(store))
        register.check_new(name)
        issued = _issued(name, out, authority, certificate, days)
        register.add(name, fingerprint_of(issued), _given(limits))
        click.echo(f"{name}: registered in {folder_of(store)}" + (f"; the client needs {out} (--keys)" if out else ""))

    @clients.command("issue")
    @click.argument("name")
    @click.argument("out", type=click.Path(path_type=Path))
    @click.option("--authority", required=True, type=click.Path(path_type=Path), help="FOLDER/authority.")
    @click.option(
        "--days", default=VALID_DAYS, show_default=True, type=click.IntRange(1, 3650), metavar="DAYS", help="Validity."
    )
    def issue(name: str, out: Path, authority: Path, days: int) -> None:
        """Make the keys of the client NAME in OUT, where the authority's key is and the server is not."""
        issue_client(authority, name, out, days)
        certificate = out / CERTIFICATE_FILE
        click.echo(f"{name}: issued; the client needs {out} (--keys)")
        click.echo(f"at the server: pi-server clients add {name} --certificate {certificate}")


def _standing(clients: click.Group, folder_of: Callable[[Path | None], Path]) -> None:
    """What changes or shows those that are registered."""

    @clients.command("revoke")
    @click.argument("name")
    @_STORE
    def revoke(name: str, store: Path | None) -> None:
        """Serve NAME no more; its sessions end within seconds. `shared`: all whose certificate has no name."""
        _there(folder_of(store)).revoke(name)
        click.echo(f"{name}: revoked")

    @clients.command("restore")
    @click.argument("name")
    @_STORE
    def restore(name: str, store: Path | None) -> None:
        """Serve NAME again, by the certificate that was revoked; for one with a new certificate: `add`."""
        _there(folder_of(store)).restore(name)
        click.echo(f"{name}: served again")

    @clients.command("limit")
    @click.argument("name")
    @limit_options()
    @click.option(
        "--unset", multiple=True, type=click.Choice(LIMITS), help="The server's own (--client-*) holds again."
    )
    @_STORE
    def limit(name: str, unset: tuple[str, ...], store: Path | None, **limits: int | None) -> None:
        """Change limits of NAME; those that are not given stay."""
        changed = _changed(limits, unset)
        _there(folder_of(store)).limit(name, changed)
        click.echo(f"{name}: limited")

    @clients.command("list")
    @_STORE
    def list_clients(store: Path | None) -> None:
        """List clients, their limits, and what they asked for today."""
        for client, preparations, inferences in _there(folder_of(store)).all():
            click.echo(_line(client, preparations, inferences))


def _there(folder: Path) -> Clients:
    """The register in a store. Raises InputError: there is none, so nobody would hear of what is changed there."""
    if not (folder / CLIENTS_FILE).exists():
        raise InputError(f"{folder}: expected the store of a server (--store FOLDER), found no {CLIENTS_FILE}")
    return Clients(folder)


def _line(client: ClientRecord, preparations: int, inferences: int) -> str:
    parts = [f"{preparations} prepared and {inferences} inferences today"]
    parts += [f"at most {value} {limit}" for limit, value in client.limits.items()]
    if client.revoked_s is not None:
        parts.insert(0, f"revoked {datetime.fromtimestamp(client.revoked_s, UTC):%Y-%m-%d %H:%M} UTC")
    if client.name != SHARED:
        parts.append(f"certificate {client.fingerprint[:16]}")
    return f"{client.name}: " + ", ".join(parts)


def _issued(name: str, out: Path | None, authority: Path | None, certificate: Path | None, days: int) -> bytes:
    if authority is not None and out is not None and certificate is None:
        return issue_client(authority, name, out, days)
    if certificate is not None and authority is None and out is None:
        return _certificate_of(certificate, name)
    raise ConfigError("clients add: expected either OUT and --authority, or --certificate")


def _given(limits: dict[str, int | None]) -> dict[str, int]:
    return {name: value for name, value in limits.items() if value is not None}


def _changed(limits: dict[str, int | None], unset: tuple[str, ...]) -> dict[str, int | None]:
    given = _given(limits)
    if not given and not unset:
        raise click.UsageError(f"expected at least one of {', '.join(f'--{limit}' for limit in LIMITS)}, --unset")
    if both := sorted(given.keys() & set(unset)):
        raise click.UsageError(f"expected either --{both[0]} or --unset {both[0]}, found both")
    return given | dict.fromkeys(unset)


def _certificate_of(path: Path, name: str) -> bytes:
    """Raises InputError or ConfigError: it cannot be read, or is not this client's."""
    try:
        pem = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        names = names_in(x509.load_pem_x509_certificate(pem))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: expected a client's certificate, found none: {error}") from None
    caller = caller_of({"x509_subject_alternative_name": [one.encode() for one in names]})
    if caller.name != name:
        raise ConfigError(f"{path}: expected the certificate of client {name}, found one of {caller.name or 'no name'}")
    return pem
