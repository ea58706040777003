"""The index of one party's material: which bundles there are, whose, in which state, and the log of their uses.

    <root>/<role>/index.sqlite3     sqlite in WAL mode

A bundle is ``prepared``, then ``taken`` (marked before its first byte is sent), then ``used`` (its content is erased),
or ``burned``; rows of the last three are the log. Every change but the step from taken to used is on disk when its call
returns. The index says what may be used; that a file which a backup brings back is a copy is told by the file itself
(secure/store.py), and that the index is one by the record of uses (secure/chain.py), whatever sqlite makes of files
that do not belong together.
"""

import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pi_system.database import Database
from pi_system.errors import CorrelationExhaustedError, CorrelationMismatchError, CorrelationReusedError

INDEX_FILE: Final = "index.sqlite3"
_LAYOUT: Final = 1
_FOREVER_S: Final = 1e12
_NEW_OWNERS: Final = 1024
"""More than there are sessions at once, and soon after."""
_SCHEMA: Final = """
CREATE TABLE store (key TEXT PRIMARY KEY, client TEXT NOT NULL, epoch TEXT NOT NULL DEFAULT '',
                    last INTEGER NOT NULL DEFAULT 0, confirmed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE material (number INTEGER PRIMARY KEY, store TEXT NOT NULL REFERENCES store, id TEXT NOT NULL,
                       state TEXT NOT NULL DEFAULT 'prepared', bytes INTEGER NOT NULL, made_s REAL NOT NULL,
                       expires_s REAL NOT NULL, changed_s REAL NOT NULL, UNIQUE (store, id));
CREATE INDEX unused ON material (store, number, id, bytes, made_s, expires_s) WHERE state = 'prepared';
CREATE INDEX uses ON material (store, changed_s, id) WHERE state IN ('taken', 'used');
CREATE TABLE owner (client TEXT PRIMARY KEY, name TEXT NOT NULL, room INTEGER NOT NULL);
CREATE TABLE setting (name TEXT PRIMARY KEY, value REAL NOT NULL);
"""
_SETTING: Final = "SELECT value FROM setting WHERE name = ?"
_UNUSED: Final = "FROM material WHERE store = ? AND state = 'prepared'"


class Index:
    """The index of one role's folder; safe in all threads and processes. A file that was replaced is opened anew.

    A store's ``key`` is its folder under the role's: model, backend, client.
    """

    def __init__(self, folder: Path):
        """Of ``folder``, mode 0700, which is made if missing; the file is opened when it is needed first."""
        self._file = Database(folder / INDEX_FILE, _SCHEMA, _LAYOUT, expendable=True)

    def add(self, key: str, material_id: str, nbytes: int) -> None:
        """A new bundle, whose file is on disk. Raises CorrelationReusedError: the index has one of that id."""
        now_s = time.time()
        with self._file.change() as db:
            (keep_s,) = db.execute(_SETTING, ("keep_s",)).fetchone() or (_FOREVER_S,)
            expires_s = now_s + keep_s
            self._ensure(db, key)
            added = db.execute(
                "INSERT OR IGNORE INTO material (store, id, bytes, made_s, expires_s, changed_s) VALUES (?,?,?,?,?,?)",
                (key, material_id, nbytes, now_s, expires_s, now_s),
            )
            if not added.rowcount:
                raise CorrelationReusedError(f"material {material_id}: expected a new id, found one that there was")

    def take(self, key: str, ids: Iterable[str], last: int | None = None) -> None:
        """Mark bundles taken, and ``last`` as the number of their use; all or none.

        Raises:
            CorrelationReusedError: one was taken before.
            CorrelationMismatchError: this store never held it.
        """
        with self._file.change() as db:
            for material_id in ids:
                self._take(db, key, material_id)
            self._note(db, key, last)

    def take_next(self, key: str, count: int, last: int | None = None) -> tuple[str, ...]:
        """Mark the ``count`` oldest bundles taken. Raises CorrelationExhaustedError: fewer are left, none is taken."""
        with self._file.change() as db:
            query = f"SELECT id {_UNUSED} AND expires_s > ? ORDER BY number LIMIT ?"
            found = [row[0] for row in db.execute(query, (key, time.time(), count))]
            if len(found) < count:
                raise CorrelationExhaustedError(f"prepared inferences: expected {count} unused, found {len(found)}")
            for material_id in found:
                self._take(db, key, material_id)
            self._note(db, key, last)
        return tuple(found)

    def used(self, key: str, material_id: str) -> None:
        """A taken bundle's content is erased. Not synced: forgotten in a power cut, it stays taken."""
        with self._file.change(durable=False) as db:
            change = "UPDATE material SET state = 'used' WHERE store = ? AND id = ? AND state = 'taken'"
            db.execute(change, (key, material_id))

    def state(self, key: str, material_id: str) -> str:
        """A bundle's state, empty if there is none of that id."""
        rows = self._file.read("SELECT state FROM material WHERE store = ? AND id = ?", key, material_id)
        return str(rows[0][0]) if rows else ""

    def unused(self, key: str) -> dict[str, int]:
        """Ids of prepared bundles, oldest first, with their bytes."""
        rows = self._file.read(f"SELECT id, bytes {_UNUSED} AND expires_s > ? ORDER BY number", key, time.time())
        return {row[0]: row[1] for row in rows}

    def expired(self, key: str) -> set[str]:
        """Prepared bundles whose time is over."""
        return {row[0] for row in self._file.read(f"SELECT id {_UNUSED} AND expires_s <= ?", key, time.time())}

    def made_before(self, key: str, moment_s: float) -> set[str]:
        """Prepared bundles older than a time, in seconds since 1970."""
        return {row[0] for row in self._file.read(f"SELECT id {_UNUSED} AND made_s < ?", key, moment_s)}

    def taken_since(self, key: str, since_s: float) -> list[str]:
        """Bundles whose use began after a time."""
        query = "SELECT id FROM material WHERE store = ? AND state IN ('taken', 'used') AND changed_s > ?"
        return [row[0] for row in self._file.read(query, key, since_s)]

    def held(self, key: str | None = None, owner: str | None = None) -> int:
        """Bytes of prepared material: of a store, of an owner, or of all."""
        query = "SELECT coalesce(sum(bytes), 0) FROM material INDEXED BY unused WHERE state = 'prepared'"
        values: tuple[str, ...] = ()
        if key is not None:
            query, values = query + " AND store = ?", (key,)
        elif owner is not None:
            theirs = "SELECT key FROM store JOIN owner USING (client) WHERE name = ?"
            query, values = f"{query} AND store IN ({theirs})", (owner,)
        return int(self._file.read(query, *values)[0][0])

    def burn(self, key: str, ids: Iterable[str]) -> int:
        """Mark those of the bundles burned that are prepared; returns how many."""
        if not (ids := list(ids)):
            return 0
        count = 0
        with self._file.change() as db:
            for material_id in ids:
                count += self._turn(db, key, material_id, "burned")
        return count

    def forget(self, key: str) -> int | None:
        """Burn what a store has, and drop its record; returns how many bundles were prepared, None without any row.

        The log stays: what was used, and now burned.
        """
        with self._file.change() as db:
            (rows,) = db.execute("SELECT count(*) FROM material WHERE store = ?", (key,)).fetchone()
            change = "UPDATE material SET state = 'burned', changed_s = ? WHERE store = ? AND state = 'prepared'"
            count = db.execute(change, (time.time(), key)).rowcount
            db.execute("UPDATE store SET epoch = '', last = 0, confirmed = 0 WHERE key = ?", (key,))
        return count if rows else None

    def keys(self) -> list[str]:
        """All stores."""
        return [row[0] for row in self._file.read("SELECT key FROM store ORDER BY key")]

    def trim(self, key: str, before_s: float) -> int:
        """Drop uses and burnings logged before a time; returns how many."""
        past = "FROM material WHERE store = ? AND state != 'prepared' AND changed_s < ?"
        if not self._file.read(f"SELECT 1 {past} LIMIT 1", key, before_s):
            return 0
        with self._file.change() as db:
            return db.execute(f"DELETE {past}", (key, before_s)).rowcount

    def drop(self, key: str) -> None:
        """Forget the record of a store without material, the store if nothing of it is logged, and then its client."""
        found = self._file.read(
            "SELECT epoch, EXISTS (SELECT 1 FROM material WHERE store = key) FROM store WHERE key = ?", key
        )
        if found == [("", 1)]:
            return  # only its log is left
        with self._file.change() as db:
            db.execute("UPDATE store SET epoch = '', last = 0, confirmed = 0 WHERE key = ?", (key,))
            db.execute(
                "DELETE FROM store WHERE key = ? AND NOT EXISTS (SELECT 1 FROM material WHERE store = key)", (key,)
            )
            alone = "NOT EXISTS (SELECT 1 FROM store WHERE store.client = owner.client)"
            db.execute(f"DELETE FROM owner WHERE client = ? AND {alone}", (_client_of(key),))

    def counts(self) -> dict[str, tuple[int, int]]:
        """Bundles and their bytes, of all stores, by state."""
        rows = self._file.read("SELECT state, count(*), sum(bytes) FROM material GROUP BY state")
        return {state: (count, nbytes) for state, count, nbytes in rows}

    def record(self, key: str) -> tuple[str, int, int]:
        """Epoch, last and confirmed use, as secure/chain.py keeps them."""
        rows = self._file.read("SELECT epoch, last, confirmed FROM store WHERE key = ?", key)
        return rows[0] if rows else ("", 0, 0)

    def set_record(self, key: str, record: tuple[str, int, int]) -> None:
        """Keep a record, durably."""
        if self.record(key) == record:
            return  # the transaction that took the material wrote it
        with self._file.change() as db:
            self._ensure(db, key)
            db.execute("UPDATE store SET epoch = ?, last = ?, confirmed = ? WHERE key = ?", (*record, key))

    def claim(self, client: str, owner: str, room: int) -> None:
        """Whose the material of a client's id is, and how many bytes that owner may keep in all."""
        same = "SELECT 1 FROM owner JOIN store USING (client) WHERE client = ? AND name = ? AND room = ?"
        if self._file.read(same, client, owner, room):
            return  # without a store it becomes the newest, see disown
        with self._file.change() as db:
            db.execute("INSERT OR REPLACE INTO owner VALUES (?, ?, ?)", (client, owner, room))

    def disown(self) -> None:
        """Forget whose the ids of no store are, but for the newest: their sessions may be about to make one."""
        left = f"rowid <= (SELECT max(rowid) FROM owner) - {_NEW_OWNERS} AND client NOT IN (SELECT client FROM store)"
        if self._file.read(f"SELECT 1 FROM owner WHERE {left} LIMIT 1"):
            with self._file.change() as db:
                db.execute(f"DELETE FROM owner WHERE {left}")

    def owner(self, client: str) -> tuple[str, int] | None:
        """The owner of a client's id and its room in bytes; None: nobody claimed it."""
        rows = self._file.read("SELECT name, room FROM owner WHERE client = ?", client)
        return rows[0] if rows else None

    def set(self, **settings: float) -> None:
        """Keep settings: ``room``, bytes of all stores together; ``keep_s``, after which material expires."""
        if all(self.setting(name, -1.0) == value for name, value in settings.items()):
            return
        with self._file.change() as db:
            db.executemany("INSERT OR REPLACE INTO setting VALUES (?, ?)", settings.items())

    def setting(self, name: str, default: float) -> float:
        """One of them."""
        rows = self._file.read(_SETTING, name)
        return float(rows[0][0]) if rows else default

    def _take(self, db: sqlite3.Connection, key: str, material_id: str) -> None:
        if not self._turn(db, key, material_id, "taken"):
            query = "SELECT state FROM material WHERE store = ? AND id = ?"
            if (found := db.execute(query, (key, material_id)).fetchone()) is None:
                raise CorrelationMismatchError(f"material {material_id}: not held for this model and peer")
            state = "burned" if found[0] == "burned" else "used"
            raise CorrelationReusedError(f"material {material_id}: expected unused, found {state}")

    @staticmethod
    def _turn(db: sqlite3.Connection, key: str, material_id: str, state: str) -> int:
        change = "UPDATE material SET state = ?, changed_s = ? WHERE store = ? AND id = ? AND state = 'prepared'"
        return db.execute(change, (state, time.time(), key, material_id)).rowcount

    def _note(self, db: sqlite3.Connection, key: str, last: int | None) -> None:
        if last is not None:
            db.execute("UPDATE store SET last = max(last, ?) WHERE key = ?", (last, key))

    def _ensure(self, db: sqlite3.Connection, key: str) -> None:
        db.execute("INSERT OR IGNORE INTO store (key, client) VALUES (?, ?)", (key, _client_of(key)))


def _client_of(key: str) -> str:
    return key.rpartition("/")[2]
