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
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.numpy

from pi_system.artifact.graph import Graph
from pi_system.channel.base import Channel
from pi_system.errors import CorrelationMismatchError
from pi_system.ring.carrier import Ring, RingArray, wire
from pi_system.ring.prg import SEED_BYTES, fresh_seed
from pi_system.secure.kept import create_kept, read_kept, write_kept

_LOG = logging.getLogger(__name__)
_SEED: Final = {"what": "weight seed"}


def weight_seed(folder: Path) -> bytes:
    """The server's seed of B for one model, made on first use and kept (mode 0600); all sessions get the same."""
    path = folder / "weight_seed"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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


def offer_weights(masked: Mapping[str, RingArray], seed: bytes, client: Channel) -> None:
    """The server's side."""
    client.send(_mask_id(seed))
    if client.recv(1)[0]:
        for value in masked.values():
            client.send(wire(value))


def fetch_weights(folder: Path, graph: Graph, ring: Ring, server: Channel) -> dict[str, RingArray]:
    """The client's side: E of every weighted node, from disk or from the server."""
    mask_id = bytes(server.recv(SEED_BYTES)).hex()
    path, fields = folder / f"weights-{mask_id}", {"what": "masked weights", "mask": mask_id}
    shapes = {node.name: node.weight_shape for node in graph.weighted}
    held = _read(path, fields, shapes, ring)
    server.send(b"\0" if held else b"\1")
    if held:
        return held
    masked = {}
    for name, shape in shapes.items():
        size = int(np.prod(shape)) * ring.itemsize
        masked[name] = np.frombuffer(server.recv(size), ring.dtype).reshape(shape)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_kept(path, fields, safetensors.numpy.save(masked))
    return masked


def _mask_id(seed: bytes) -> bytes:
    return hashlib.sha256(b"pi-system weight mask id" + seed).digest()[:SEED_BYTES]


def _read(
    path: Path, fields: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], ring: Ring
) -> dict[str, RingArray] | None:
    """What is on disk if it is whole; anything else is fetched again, which is always safe."""
    try:
        held = safetensors.numpy.load(read_kept(path, fields)[1])
    except (OSError, CorrelationMismatchError):
        return None
    fits = {name: value.shape for name, value in held.items() if value.dtype == ring.dtype} == dict(shapes)
    return held if fits else None
