"""The client's private folder: its identity, and what the last offline phase cost."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Final

from platformdirs import user_data_path

from pi_system.durable import private_folder, remove_parts, storage_error
from pi_system.errors import CorrelationMismatchError, InputError
from pi_system.rpc.envelope import ID_BYTES
from pi_system.rpc.phase_cost import PreparationCost
from pi_system.rpc.session_config import SessionConfig
from pi_system.secure.kept import create_kept, read_kept, write_kept

_IDENTITY: Final = {"what": "client id", "protocol": "any"}
"""Of every protocol version: a client stays the same."""
_COST: Final = {"what": "cost of the offline phase"}


class ClientStore:
    """A folder of mode 0700; ``path`` is where backends keep their material."""

    def __init__(self, path: Path | None):
        """Open or make the folder; None: the user's default one. Raises InputError."""
        self.path = (path or user_data_path("pi-system") / "client").absolute()
        try:
            private_folder(self.path)
        except OSError as error:
            if known := storage_error(error):
                raise known from None
            raise InputError(f"store {self.path}: cannot be made: {error.strerror}") from None
        remove_parts(self.path)

    def client_id(self) -> bytes:
        """16 random bytes, drawn once: the server keeps this client's material under them. Raises InputError."""
        file = self.path / "client_id"
        try:
            try:
                create_kept(file, _IDENTITY, os.urandom(ID_BYTES))
            except FileExistsError:
                pass
            _, found = read_kept(file, _IDENTITY)
        except CorrelationMismatchError as error:
            raise InputError(f"{file}: {error}; delete it to get a new identity") from None
        except OSError as error:
            if known := storage_error(error):
                raise known from None
            raise InputError(f"{file}: cannot be used: {error.strerror}") from None
        if len(found) != ID_BYTES:
            raise InputError(f"{file}: expected {ID_BYTES} bytes, found {len(found)}; delete it to get a new identity")
        return found

    def note_offline(self, config: SessionConfig, cost: PreparationCost) -> None:
        """Remember the cost of material that later runs will use."""
        write_kept(self._cost_file(config), {**_COST, "cost": asdict(cost)})

    def noted_offline(self, config: SessionConfig) -> PreparationCost | None:
        """The cost of the last offline phase for this model, backend and result, None if there is no record."""
        try:
            return PreparationCost(**read_kept(self._cost_file(config), _COST)[0]["cost"])
        except (OSError, CorrelationMismatchError):
            return None

    def _cost_file(self, config: SessionConfig) -> Path:
        return self.path / f"offline-{config.backend}-{config.revealed}-{config.artifact_digest[:16]}"
