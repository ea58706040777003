"""The offline phase of both parties: the client's labels by correlated OT, then the garbled circuits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.kernels.garble import garble, garble_rows
from pi_system.kernels.packing import Bytes
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import BARRIER, Half, Send, in_turn, receive_array
from pi_system.protocols.material import Material, Shapes, blocks, padded, padded_shares
from pi_system.protocols.ot import OtParty
from pi_system.protocols.ot.strings import pack_ring, receive_ring
from pi_system.protocols.relu_gc.cost import client_shapes, server_shapes
from pi_system.ring.prg import Prg

_CHUNK = 1024  # elements; their tables, about 750 KB, make one message


def _empty(shapes: Shapes) -> Material:
    return {name: np.empty(shape, dtype) for name, (shape, dtype) in shapes.items()}


def offline_server(spec: GateSpec, ots: OtParty, prg: Prg) -> Half[Material]:
    """The server's material; see protocols/relu_gc. Raises RemoteProtocolError."""
    k, stride, delta = spec.comparison_bits, padded(spec.count), ots.sender.delta.tobytes()
    material = _empty(server_shapes(spec))
    seed = prg.bytes(16)
    material["seed"][:] = np.frombuffer(seed, np.uint8)
    material["delta"][:] = np.frombuffer(delta, np.uint8)
    cots = yield from in_turn(ots.sender.extend(k * size) for _, size in blocks(spec.count, _CHUNK))
    yield BARRIER
    labels = [chunk.take(len(chunk)) for chunk in cots]
    tweak = labels[0][1]
    for (first, size), (q, _) in zip(blocks(spec.count, _CHUNK), labels, strict=True):
        flips = yield from receive_array((k, size // 8), np.uint8)
        tables, rows, offset = garble(
            k,
            spec.shift,
            stride=stride,
            tweak=tweak,
            seed=seed,
            delta=delta,
            first=first,
            q=q.reshape(k, 2 * size),
            flips=flips,
        )
        yield Send(tables.tobytes())
        yield Send(pack_ring(rows, spec.ring_bits).data)
        material["offset"][first : first + size] = offset.astype(material["offset"].dtype)
    return material


def offline_client(
    spec: GateSpec, y_share: NDArray[Any], fresh_mask: NDArray[Any], ots: OtParty, prg: Prg
) -> Half[Material]:
    """The client's material; its randomness is in its OTs. See protocols/relu_gc. Raises RemoteProtocolError."""
    share, mask = padded_shares(spec.count, y_share, fresh_mask)
    k, material = spec.comparison_bits, _empty(client_shapes(spec))
    material["mask"][:] = mask
    for first, size in blocks(spec.count, _CHUNK):
        cots = yield from ots.receiver.extend(k * size)
        labels, tweak = cots.take(k * size)
        if first == 0:
            material["tweak"][0] = tweak
        wires = labels.reshape(k, size, 2)
        material["labels"][:, 2 * first : 2 * (first + size)] = wires.reshape(k, 2 * size)
        yield Send(_flips(share[first : first + size], wires[:, :, 0]).tobytes())
    yield BARRIER
    for first, size in blocks(spec.count, _CHUNK):
        yield from _receive_tables(spec, material, first, size)
    return material


def _flips(share: NDArray[Any], labels: NDArray[np.uint64]) -> Bytes:
    """Planes (k, n / 8) of the share's bits against the labels' colours, the random choices."""
    wires = np.arange(len(labels), dtype=share.dtype)[:, None]
    wanted = (share >> wires).astype(np.uint8) & np.uint8(1)
    return np.packbits(wanted ^ (labels.astype(np.uint8) & np.uint8(1)), axis=-1, bitorder="little")


def _receive_tables(spec: GateSpec, material: Material, first: int, size: int) -> Half[None]:
    """One chunk of garbled circuits."""
    k, rows = spec.comparison_bits, garble_rows(spec.comparison_bits, spec.shift)
    tables = yield from receive_array((k - 1, 4 * size), np.uint64)
    material["tables"][:, 4 * first : 4 * (first + size)] = tables
    values = yield from receive_ring(rows * size, spec.ring_bits)
    material["rows"][:, first : first + size] = values.reshape(rows, size)
