"""Both parties' steps of the square online; see protocols/square."""

import numpy as np

from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material
from pi_system.protocols.ot.strings import pack_ring, unpack_ring
from pi_system.protocols.phases import ServerSteps
from pi_system.protocols.square.cost import product_bits
from pi_system.ring.carrier import Ring, RingArray


class SquareServer(ServerSteps):
    """Party 0. Material: see ``server_shapes``."""

    def __init__(self, spec: GateSpec, material: Material):
        """Take over ``material`` of the offline phase."""
        super().__init__(spec)
        self._material, self._ring = material, Ring(spec.ring_bits)

    def load(self, first: int, share: RingArray) -> None:
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

    def receive(self, exchange: int, first: int, count: int, reply: memoryview) -> None:
        """Add the client's terms, masked by r."""
        chunk = slice(first, first + count)
        theirs = unpack_ring(np.frombuffer(reply, np.uint8), count, self._spec.ring_bits)
        self._out[chunk] = self._ring.reduce(self._out[chunk] + theirs)


class SquareClient:
    """Party 1. Material: see ``client_shapes``."""

    def __init__(self, spec: GateSpec, material: Material):
        """Take over ``material`` of the offline phase."""
        self._spec, self._material = spec, material

    def reply(self, exchange: int, first: int, count: int, message: memoryview) -> memoryview:
        """Answer d by y_1^2 + 2 z_1 - r + 2 d b."""
        chunk, ring_bits = slice(first, first + count), self._spec.ring_bits
        opened = unpack_ring(np.frombuffer(message, np.uint8), count, product_bits(self._spec), ring_bits)
        product = opened * self._material["b"][chunk]
        answer = self._material["offset"][chunk] + product + product
        return pack_ring(answer, ring_bits).data
