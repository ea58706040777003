"""Both parties' online phase of the square; see protocols/square."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import InvariantError, RemoteProtocolError
from pi_system.kernels.packing import packed_bytes
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.ot.material import Material, check_material
from pi_system.protocols.ot.strings import pack_ring, unpack_ring
from pi_system.protocols.square.cost import client_shapes, product_bits, server_shapes
from pi_system.ring.carrier import Ring, RingArray

__all__ = ["SquareClient", "SquareServer"]


class SquareServer:
    """Party 0 (a ServerGate); one use."""

    round_trips = 1

    def __init__(self, spec: GateSpec, material: Material):
        """Check the material against ``spec``. Raises CorrelationMismatchError."""
        check_material(material, server_shapes(spec))
        self._spec, self._material, self._ring = spec, material, Ring(spec.ring_bits)
        self._out = np.empty(spec.count, self._ring.dtype)
        self._finished = 0

    def load(self, first: int, share: NDArray[Any]) -> None:
        """Hand in y_0 of a chunk; its place holds it until ``work``."""
        self._out[first : first + len(share)] = share

    def send(self, exchange: int, first: int, count: int) -> memoryview:
        """The message d = y_0 - a."""
        chunk = slice(first, first + count)
        return pack_ring(self._out[chunk] - self._material["a"][chunk], product_bits(self._spec)).data

    def work(self, exchange: int, first: int, count: int) -> None:
        """The server's own terms, y_0 (y_0 + 2 delta) + 2 z_0."""
        chunk, twice = slice(first, first + count), self._ring.dtype.type(2)
        share = self._out[chunk]
        terms = share * (share + twice * self._material["delta"][chunk])
        self._out[chunk] = terms + twice * self._material["z"][chunk]

    def reply_bytes(self, exchange: int, count: int) -> int:
        """Size of the client's reply."""
        return packed_bytes(count, self._spec.ring_bits)

    def receive(self, exchange: int, first: int, count: int, reply: memoryview) -> None:
        """Add the client's terms, masked by r. Raises RemoteProtocolError."""
        chunk = slice(first, first + count)
        theirs = _unpack(reply, count, self._spec.ring_bits)
        self._out[chunk] = self._ring.reduce(self._out[chunk] + theirs)
        self._finished += count

    def result(self) -> RingArray:
        """D of all elements."""
        if self._finished != self._spec.count:
            raise InvariantError("gate: expected every chunk finished before its result is read")
        return self._out


class SquareClient:
    """Party 1 (a ClientGate); one use."""

    round_trips = 1

    def __init__(self, spec: GateSpec, material: Material):
        """Check the material against ``spec``. Raises CorrelationMismatchError."""
        check_material(material, client_shapes(spec))
        self._spec, self._material = spec, material

    def message_bytes(self, exchange: int, count: int) -> int:
        """Size of the server's message."""
        return packed_bytes(count, product_bits(self._spec))

    def reply(self, exchange: int, first: int, count: int, message: memoryview) -> memoryview:
        """Answer d by y_1^2 + 2 z_1 - r + 2 d b. Raises RemoteProtocolError."""
        chunk = slice(first, first + count)
        opened = _unpack(message, count, product_bits(self._spec), self._spec.ring_bits)
        product = opened * self._material["b"][chunk]
        answer = self._material["offset"][chunk] + product + product
        return pack_ring(answer, self._spec.ring_bits).data


def _unpack(message: memoryview, count: int, bits: int, ring_bits: int | None = None) -> RingArray:
    """Elements of ``bits`` bits in the carrier of ``ring_bits`` bits (as many if not given)."""
    expected = packed_bytes(count, bits)
    if message.nbytes != expected:
        raise RemoteProtocolError(f"square: expected a message of {expected} bytes, found {message.nbytes}")
    return unpack_ring(np.frombuffer(message, np.uint8), count, bits, ring_bits)
