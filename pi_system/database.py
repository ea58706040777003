"""A sqlite file that several processes share: durable transactions, our file mode, typed errors.

WAL mode; ``synchronous=FULL`` syncs the log at every commit, so what a block of ``change`` did is on disk when it ends.
"""

import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pi_system.durable import create_file, private_folder
from pi_system.errors import ConfigError, StorageError

_PATIENCE_S: Final = 30.0
"""How long another process's change is waited for."""
_BESIDE: Final = ("-wal", "-shm")
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """One file; safe in all threads and processes. One that was replaced under its name is opened anew.

    A damaged file is an error, or where ``expendable`` deleted and made anew: when it is opened, or after the error
    that found the damage.
    """

    def __init__(self, path: Path, schema: str, layout: int, *, expendable: bool = False, create: bool = True):
        """The file is opened, and made with its folder (mode 0700), when it is needed first.

        Args:
            path: of the file.
            schema: statements that make its tables.
            layout: their version, at least 1.
            expendable: nothing is lost with the file that is not found out elsewhere.
            create: make one that is missing or empty; otherwise that is an error.
        """
        self._path, self._schema, self._layout = path, schema, layout
        self._expendable, self._create = expendable, create
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._inode = 0

    @contextmanager
    def change(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction, undone if the block fails. Raises StorageError.

        ``durable``: on disk when the block ends; otherwise a power cut may undo it.
        """
        with self._lock, self._typed():
            db = self._connection()
            db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def read(self, query: str, *values: Any) -> list[Any]:
        """All rows of a query. Raises StorageError."""
        with self._lock, self._typed():
            return self._connection().execute(query, values).fetchall()

    def _connection(self) -> sqlite3.Connection:
        """The open file, the one that has the name now."""
        if self._db is None or self._found() != self._inode:
            if self._db is not None:
                self._db.close()
            self._db = self._open()
            self._inode = self._found()
            weakref.finalize(self, self._db.close)
        return self._db

    def _discard(self) -> None:
        """Delete the open file, whose damage was found in use, unless another process has done so: the next is new."""
        if self._db is not None:
            self._db.close()
            if self._found() == self._inode:
                self._delete()
            self._db = None

    def _delete(self) -> None:
        for suffix in ("", *_BESIDE):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _found(self) -> int:
        try:
            return self._path.stat().st_ino
        except FileNotFoundError:
            return -1

    def _open(self) -> sqlite3.Connection:
        try:
            return self._opened()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) or not self._expendable:
                raise
            self._delete()
            return self._opened()

    def _opened(self) -> sqlite3.Connection:
        if self._create:
            self._make()
        elif not self._path.exists():
            raise self._lost()
        db = sqlite3.connect(self._path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
        try:
            (mode,) = db.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode != "wal":
                raise StorageError(
                    f"{self._path.name}: expected a file system on which sqlite has WAL, found mode {mode}"
                )
            self._lay_out(db)
        except BaseException:
            db.close()
            raise
        return db

    def _make(self) -> None:
        private_folder(self._path.parent)
        if not self._path.exists():
            try:
                create_file(self._path, b"")  # with our mode, which the files beside it take over
            except FileExistsError:
                pass

    def _lost(self) -> StorageError:
        return StorageError(f"storage: {self._path.name}: expected the one that there was, found none; put a copy back")

    def _lay_out(self, db: sqlite3.Connection) -> None:
        if db.execute("PRAGMA user_version").fetchone() == (self._layout,):
            return  # without a wait for who writes
        db.execute("BEGIN IMMEDIATE")
        (found,) = db.execute("PRAGMA user_version").fetchone()
        if found == 0 and not self._create:
            raise self._lost()
        if found == 0:
            for statement in self._schema.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={self._layout}")
        elif found != self._layout:
            raise ConfigError(
                f"{self._path.name}: expected layout {self._layout}, found {found}: use the version that wrote it, or "
                "delete it"
            )
        db.execute("COMMIT")

    @contextmanager
    def _typed(self) -> Iterator[None]:
        """Errors of the disk as what they are; a peer hears of them, so they name no folder."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StorageError(f"storage: {self._path.name}: {error}") from None
        except sqlite3.DatabaseError as error:
            way = "delete it, which burns what it lists" if self._expendable else "put a copy of it back"
            if self._expendable and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                self._discard()
                way = "made anew, which burns what it listed"
            raise StorageError(f"storage: {self._path.name}: {error}; {way}") from None
        except OSError as error:
            raise StorageError(f"storage: {self._path.name}: {error.strerror}") from None
