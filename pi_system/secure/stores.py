"""All stores under one party's folder: for the commands that list and burn unused material."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pi_system.secure.chain import forget, locked
from pi_system.secure.store import burn_folder, unused_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One party's material for one model, backend and client.

    Attributes:
        model: the first 32 hexadecimal digits of the artifact's digest.
        backend: its name.
        reveal: what the material was prepared to open.
        client: the client's pairing id, 32 hexadecimal digits.
        folder: where it lies.
    """

    model: str
    backend: str
    reveal: str
    client: str
    folder: Path

    def unused(self) -> tuple[int, int]:
        """How many prepared inferences were not used, and their bytes."""
        sizes = [found.st_size for _, found in unused_in(self.folder)]
        return len(sizes), sum(sizes)

    def burn(self) -> int:
        """Delete all material and the record of uses; returns how many inferences were unused.

        The peer finds no record at the next meeting and burns its half. Sessions that are open can use no more.
        """
        with locked(self.folder):
            burned = burn_folder(self.folder)
            forget(self.folder)
        return burned


def all_stores(root: Path, role: str) -> Iterator[Stored]:
    """The stores of ``role`` under ``root``, in order; none if there is no such folder."""
    for folder in sorted((root / role).glob("*/*/*/")):
        if len(folder.name) == 32:  # beside them lies what is kept once a model
            backend, _, reveal = folder.parent.name.partition("-")
            model, client = folder.parents[1].name, folder.name
            yield Stored(model=model, backend=backend, reveal=reveal, client=client, folder=folder)
