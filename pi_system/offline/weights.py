"""The once-a-model setup: the server hands the client E = W - B of every weighted node.

    server                                   client
    mask id (public name of B's seed)   -->
                                        <--  1 if it lacks that E, else 0
    E of every weighted node            -->  kept on disk under the mask id

B stays the same for all inferences of a model, so E is sent once; a server with a new seed sends a new E.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from pi_system.artifact.graph import Conv2d, Graph, Linear
from pi_system.artifact.shapes import weight_shapes
from pi_system.channel.base import Channel
from pi_system.ring.carrier import Ring, RingArray, wire
from pi_system.ring.prg import SEED_BYTES, fresh_seed

__all__ = ["fetch_weights", "offer_weights", "weight_seed"]


def weight_seed(folder: Path) -> bytes:
    """The server's seed of B for one model, made on first use and kept (mode 0600)."""
    path = folder / "weight_seed"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            seed = fresh_seed()
            file.write(seed)
            file.flush()
            os.fsync(file.fileno())
            return seed
    except FileExistsError:
        return path.read_bytes()


def offer_weights(masked: Mapping[str, RingArray], seed: bytes, client: Channel) -> None:
    """The server's side."""
    client.send(_mask_id(seed))
    if client.recv(1)[0]:
        for value in masked.values():
            client.send(wire(value))


def fetch_weights(folder: Path, graph: Graph, ring: Ring, server: Channel) -> dict[str, RingArray]:
    """The client's side: E of every weighted node, from disk or from the server."""
    path = folder / f"weights-{bytes(server.recv(SEED_BYTES)).hex()}.safetensors"
    shapes = {
        node.name: weight_shapes(graph)[f"{node.name}.weight"] for node in graph if isinstance(node, Conv2d | Linear)
    }
    held = _read(path, shapes, ring)
    server.send(b"\0" if held else b"\1")
    if held:
        return held
    masked = {}
    for name, shape in shapes.items():
        size = int(np.prod(shape)) * ring.itemsize
        masked[name] = np.frombuffer(server.recv(size), ring.dtype).reshape(shape)
    _write(path, masked)
    return masked


def _mask_id(seed: bytes) -> bytes:
    return hashlib.sha256(b"pi-system weight mask id" + seed).digest()[:SEED_BYTES]


def _read(path: Path, shapes: Mapping[str, tuple[int, ...]], ring: Ring) -> dict[str, RingArray] | None:
    """What is on disk if it is whole; anything else is fetched again, which is always safe."""
    try:
        held = safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError):
        return None
    fits = {name: value.shape for name, value in held.items() if value.dtype == ring.dtype} == dict(shapes)
    return held if fits else None


def _write(path: Path, masked: Mapping[str, RingArray]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    safetensors.numpy.save_file(dict(masked), part)
    part.chmod(0o600)
    part.rename(path)
