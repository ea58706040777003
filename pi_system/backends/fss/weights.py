"""The once-a-model setup: the server hands the client E = W - B of every weighted node.

    server                                   client
    mask id (public name of B's seed)   -->
                                        <--  1 if it lacks that E, else 0
    E of every weighted node            -->  kept on disk under the mask id

B stays the same for all inferences of a model, so E is sent once; a server with a new seed sends a new E. So both files
can be lost: a seed that is damaged is drawn again, an E that is damaged is fetched again.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Final

import numpy as np

from pi_system.artifact.graph import Graph
from pi_system.channel.base import Channel
from pi_system.durable import draft, private_folder
from pi_system.errors import CorrelationMismatchError
from pi_system.ring.carrier import Ring, RingArray, wire
from pi_system.ring.prg import SEED_BYTES, fresh_seed
from pi_system.secure.kept import HEADER_BYTES, check_kept, create_kept, read_kept, seal

_LOG = logging.getLogger(__name__)
_SEED: Final = {"what": "weight seed"}


def weight_seed(folder: Path) -> bytes:
    """The server's seed of B for one model, made on first use and kept (mode 0600); all sessions get the same."""
    path = folder / "weight_seed"
    private_folder(folder)
    while True:
        try:
            _, seed = read_kept(path, _SEED)
            if len(seed) == SEED_BYTES:
                return seed
            raise CorrelationMismatchError(f"weight seed: expected {SEED_BYTES} bytes, found {len(seed)}")
        except FileNotFoundError:
            pass
        except CorrelationMismatchError as error:
            _LOG.warning("%s: drawn again, clients fetch the masked weights anew", error)
            path.unlink(missing_ok=True)
        try:
            create_kept(path, _SEED, fresh_seed())
        except FileExistsError:
            continue  # another session was faster: its seed is the model's


def offer_weights(masked: Iterable[RingArray], seed: bytes, client: Channel) -> None:
    """The server's side; ``masked``: E of every weighted node in order, made as they are sent, if they are."""
    client.send(_mask_id(seed))
    if client.recv(1)[0]:
        for value in masked:
            client.send(wire(value))


def fetch_weights(folder: Path, graph: Graph, ring: Ring, server: Channel) -> dict[str, RingArray]:
    """The client's side: E of every weighted node, mapped from its file, which the server fills if it is not there."""
    mask_id = bytes(server.recv(SEED_BYTES)).hex()
    path, fields = folder / f"weights-{mask_id}", {"what": "masked weights", "mask": mask_id}
    sizes = [prod(node.weight_shape) * ring.itemsize for node in graph.weighted]
    held = _is_whole(path, fields, sum(sizes))
    server.send(b"\0" if held else b"\1")
    if not held:
        private_folder(path.parent)
        with draft(path) as file:
            file.seek(HEADER_BYTES)
            for size in sizes:
                file.write(server.recv(size))
            seal(file, fields)
    starts = accumulate(sizes, initial=HEADER_BYTES)
    return {
        node.name: np.memmap(path, ring.dtype, "r", start, node.weight_shape)
        for node, start in zip(graph.weighted, starts, strict=False)
    }


def _mask_id(seed: bytes) -> bytes:
    return hashlib.sha256(b"pi-system weight mask id" + seed).digest()[:SEED_BYTES]


def _is_whole(path: Path, fields: Mapping[str, str], nbytes: int) -> bool:
    """Whether it is on disk as it was written; anything else is fetched again, which is always safe."""
    try:
        check_kept(path, fields)
        return path.stat().st_size == HEADER_BYTES + nbytes
    except (OSError, CorrelationMismatchError):
        return False
