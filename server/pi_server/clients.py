"""The clients that a server knows: certificates, limits, and what each has asked for today.

A certificate with a name (``NAME.pi-client``) is served if it is registered under that name and not revoked; the one
that ``pi-server keys`` makes, which several may share, is the client ``shared``, unless that is revoked. Looked at for
every hello and command, and once a second while a session runs, so a change holds at once. Days are UTC's.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pi_system.database import Database
from pi_system.errors import ClientRefusedError, ConfigError, LimitError
from pi_system.rpc.tls import Caller

CLIENTS_FILE: Final = "clients.sqlite3"
SHARED: Final = "shared"
"""Whoever has the certificate without a name, or none (plaintext on this machine)."""
LIMITS: Final = ("sessions", "preparations", "inferences", "bytes")
"""Sessions at once, inferences prepared a day, inferences a day, bytes of material at rest."""
_KEPT_DAYS: Final = 400
_LOG = logging.getLogger(__name__)
_SCHEMA: Final = """
CREATE TABLE client (name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, added_s REAL NOT NULL, revoked_s REAL,
                     sessions INTEGER, preparations INTEGER, inferences INTEGER, bytes INTEGER);
CREATE TABLE asked (name TEXT NOT NULL, day INTEGER NOT NULL, preparations INTEGER NOT NULL DEFAULT 0,
                    inferences INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (name, day)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A client.

    Attributes:
        name: in its certificate.
        fingerprint: of that, SHA-256; empty for ``shared``.
        revoked_s: when it was shut out, seconds since 1970; None: it is served.
        limits: by the names in LIMITS; missing: the server's own.
    """

    name: str
    fingerprint: str
    revoked_s: float | None
    limits: dict[str, int]


class Clients:
    """The register in one server's store; safe in all threads and processes."""

    def __init__(self, folder: Path, defaults: dict[str, int] | None = None, *, create: bool = False):
        """The register in ``folder``, of the server's store.

        Args:
            folder: where it lies.
            defaults: limits of who has none of its own; missing: none.
            create: make it if it is missing. An empty one serves whoever was revoked and has no limits, so otherwise
                one that is gone is an error.
        """
        self._file = Database(folder / CLIENTS_FILE, _SCHEMA, 1, create=create)
        self._defaults = defaults or {}

    def check_new(self, name: str) -> None:
        """Raise ConfigError where ``add`` would."""
        if name == SHARED:
            raise ConfigError(f"client: expected a name other than {SHARED}, which is whoever has no name")
        if self._file.read("SELECT 1 FROM client WHERE name = ? AND revoked_s IS NULL", name):
            raise ConfigError(f"client {name}: expected a new name, found it registered: revoke it first")

    def add(self, name: str, fingerprint: str, limits: dict[str, int]) -> None:
        """Register a certificate; one whose name had another keeps the limits that are not given.

        Raises ConfigError: that name has one that is not revoked.
        """
        kept = ", ".join(f"{limit} = coalesce(excluded.{limit}, {limit})" for limit in LIMITS)
        anew = f"fingerprint = excluded.fingerprint, added_s = excluded.added_s, revoked_s = NULL, {kept}"
        with self._file.change() as db:
            self.check_new(name)
            db.execute(
                f"INSERT INTO client VALUES (?, ?, ?, NULL, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET {anew}",
                (name, fingerprint, time.time(), *(limits.get(limit) for limit in LIMITS)),
            )

    def revoke(self, name: str) -> None:
        """Serve it no more. Raises ConfigError: there is none."""
        self._update(name, "revoked_s = coalesce(revoked_s, ?)", time.time())

    def restore(self, name: str) -> None:
        """Serve it again, by the certificate that it had. Raises ConfigError: there is none, or it is not revoked."""
        with self._file.change() as db:
            again = "UPDATE client SET revoked_s = NULL WHERE name = ? AND revoked_s IS NOT NULL"
            if not db.execute(again, (name,)).rowcount:
                served = db.execute("SELECT 1 FROM client WHERE name = ?", (name,)).fetchone()
                found = "it served" if served else "none of that name"
                raise ConfigError(f"client {name}: expected one that is revoked, found {found}")

    def limit(self, name: str, limits: Mapping[str, int | None]) -> None:
        """Change limits; None: the server's own holds again. Raises ConfigError: there is no client of that name."""
        for limit in LIMITS:
            if limit in limits:
                self._update(name, f"{limit} = ?", limits[limit])

    def all(self) -> list[tuple[ClientRecord, int, int]]:
        """Every client by name, with the inferences that it prepared and asked for today."""
        query = "SELECT client.*, coalesce(a.preparations, 0), coalesce(a.inferences, 0) FROM client"
        query += " LEFT JOIN asked a ON a.name = client.name AND a.day = ? ORDER BY client.name"
        return [(_client(row), row[-2], row[-1]) for row in self._file.read(query, _today())]

    def check_readable(self) -> None:
        """Raise StorageError if it cannot be read."""
        self._file.read("SELECT count(*) FROM client")

    def admit(self, caller: Caller | None) -> ClientRecord:
        """The client that calls. Raises ClientRefusedError: it is not registered, or revoked."""
        name = caller.name if caller and caller.name else SHARED
        rows = self._file.read("SELECT * FROM client WHERE name = ?", name)
        found = _client(rows[0]) if rows else ClientRecord(name=name, fingerprint="", revoked_s=None, limits={})
        if found.revoked_s is not None:
            raise ClientRefusedError(f"client {name}: its certificate is revoked")
        if name != SHARED and (caller is None or found.fingerprint != caller.fingerprint):
            raise ClientRefusedError(f"client {name}: expected a certificate that is registered here, found another")
        return found

    def most(self, client: ClientRecord, limit: str) -> int | None:
        """A client's limit; None: there is none."""
        return client.limits.get(limit, self._defaults.get(limit))

    def left(self, client: ClientRecord, what: str) -> int | None:
        """How many ``preparations`` or ``inferences`` are left of today; None: any number."""
        most = self.most(client, what)
        return None if most is None else max(0, most - self._spent(client, what))

    def check(self, client: ClientRecord, what: str, count: int) -> None:
        """Raise LimitError where ``spend`` would."""
        self._check(self._spent(client, what), client, what, count)

    def spend(self, client: ClientRecord, what: str, count: int) -> None:
        """Count ``preparations`` or ``inferences`` of today. Raises LimitError: they would be too many."""
        with self._file.change(durable=False) as db:  # a sync would cost every call; a power cut may give a little back
            query, *values = _asked(client, what)
            self._check(_sole(db.execute(query, values).fetchall()), client, what, count)
            key = (client.name, _today())
            db.execute("INSERT OR IGNORE INTO asked (name, day) VALUES (?, ?)", key)
            db.execute(f"UPDATE asked SET {what} = {what} + ? WHERE name = ? AND day = ?", (count, *key))
            db.execute("DELETE FROM asked WHERE day < ?", (_today() - _KEPT_DAYS,))

    def _spent(self, client: ClientRecord, what: str) -> int:
        return _sole(self._file.read(*_asked(client, what)))

    def _check(self, spent: int, client: ClientRecord, what: str, count: int) -> None:
        most = self.most(client, what)
        if most is not None and spent + count > most:
            raise LimitError(
                f"client {client.name}: expected at most {most} {what} a day (UTC), found {spent} and {count} more"
            )

    def _update(self, name: str, change: str, value: float | None) -> None:
        with self._file.change() as db:
            if name == SHARED:
                db.execute("INSERT OR IGNORE INTO client (name, fingerprint, added_s) VALUES (?, '', ?)", (name, 0.0))
            if not db.execute(f"UPDATE client SET {change} WHERE name = ?", (value, name)).rowcount:
                raise ConfigError(f"client {name}: expected one of `pi-server clients list`, found none of that name")


def open_register(folder: Path) -> Clients:
    """The register in ``folder``, made if it is missing: now, and by nobody later. Raises StorageError."""
    path = folder / CLIENTS_FILE
    lost = not (path.exists() and path.stat().st_size) and (folder / "server").exists()
    register = Clients(folder, create=True)
    register.check_readable()
    if lost:
        _LOG.warning("clients: expected a register beside the material, found none: a new one revokes and limits none")
    return register


def _client(row: Any) -> ClientRecord:
    name, fingerprint, _, revoked_s, *limits = row[:8]
    held = {limit: value for limit, value in zip(LIMITS, limits, strict=True) if value is not None}
    return ClientRecord(name=name, fingerprint=fingerprint, revoked_s=revoked_s, limits=held)


def _asked(client: ClientRecord, what: str) -> tuple[Any, ...]:
    """The query of how many a client asked for today, and its values."""
    return f"SELECT {what} FROM asked WHERE name = ? AND day = ?", client.name, _today()


def _sole(rows: list[Any]) -> int:
    return int(rows[0][0]) if rows else 0


def _today() -> int:
    return int(time.time() // 86400)
