"""Both parties' gates: the online phase as pure state and messages."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import InvariantError, RemoteProtocolError
from pi_system.kernels.garble import garble_evaluate, garble_inputs
from pi_system.kernels.ot import Bytes
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.ot.material import Material, check_material, padded
from pi_system.protocols.ot.strings import carrier, pack_ring, unpack_ring
from pi_system.protocols.relu_gc.cost import client_shapes, message_bytes, reply_bytes, server_shapes

__all__ = ["GcClient", "GcServer"]

RingArray = NDArray[Any]


class GcServer:
    """Party 0 (a ServerGate), the garbler; one use. Material: see ``server_shapes``."""

    round_trips = 1

    def __init__(self, spec: GateSpec, material: Material):
        """Take over ``material`` of ``offline_server``. Raises CorrelationMismatchError."""
        check_material(material, server_shapes(spec))
        self._spec = spec
        self._seed, self._delta = material["seed"].tobytes(), material["delta"].tobytes()
        self._offset = material["offset"]
        self._shares: dict[int, RingArray] = {}
        self._out: RingArray = np.empty(spec.count, carrier(spec.ring_bits))
        self._done = 0

    def load(self, first: int, share: RingArray) -> None:
        """Hand in y_0 of a chunk; half an ulp of the result is added, so that it is rounded to nearest."""
        self._shares[first] = np.ascontiguousarray(share + share.dtype.type(self._spec.half))

    def send(self, exchange: int, first: int, count: int) -> memoryview:
        """The active labels of the share's low k bits."""
        return garble_inputs(
            self._spec.comparison_bits,
            stride=padded(self._spec.count),
            seed=self._seed,
            delta=self._delta,
            first=first,
            share=self._shares.pop(first),
        ).data

    def work(self, exchange: int, first: int, count: int) -> None:
        """Nothing is left to do while the client evaluates."""

    def reply_bytes(self, exchange: int, count: int) -> int:
        """Size of the client's reply."""
        return reply_bytes(self._spec, count)

    def receive(self, exchange: int, first: int, count: int, reply: memoryview) -> None:
        """Add the garbler's share."""
        value = unpack_ring(_checked(reply, self.reply_bytes(exchange, count)), count, self._spec.ring_bits)
        mask = value.dtype.type((1 << self._spec.ring_bits) - 1)
        self._out[first : first + count] = (value + self._offset[first : first + count]) & mask
        self._done += count

    def result(self) -> RingArray:
        """D of all elements."""
        if self._done != self._spec.count:
            raise InvariantError("gate: expected every chunk finished before its result is read")
        return self._out


class GcClient:
    """Party 1 (a ClientGate), the evaluator; one use. Material: see ``client_shapes``."""

    round_trips = 1

    def __init__(self, spec: GateSpec, material: Material):
        """Take over ``material`` of ``offline_client``. Raises CorrelationMismatchError."""
        check_material(material, client_shapes(spec))
        self._spec, self._material = spec, material

    def message_bytes(self, exchange: int, count: int) -> int:
        """Size of the server's message."""
        return message_bytes(self._spec, count)

    def reply(self, exchange: int, first: int, count: int, message: memoryview) -> memoryview:
        """Evaluate a chunk; answer the share of ReLU(y) >> shift minus r."""
        data, material = _checked(message, self.message_bytes(exchange, count)), self._material
        share = garble_evaluate(
            self._spec.comparison_bits,
            self._spec.shift,
            tweak=int(material["tweak"][0]),
            first=first,
            count=count,
            server=data,
            client=material["labels"],
            tables=material["tables"],
            rows=material["rows"],
        )
        mask = material["mask"][first : first + count]
        return pack_ring(share.astype(mask.dtype) - mask, self._spec.ring_bits).data


def _checked(message: memoryview, nbytes: int) -> Bytes:
    """The message as bytes. Raises RemoteProtocolError."""
    if message.nbytes != nbytes:
        raise RemoteProtocolError(f"gc: expected a message of {nbytes} bytes, found {message.nbytes}")
    return np.frombuffer(message, np.uint8)
