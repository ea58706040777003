"""Both parties' steps of the ReLU ``gc`` online: pure state and messages; see protocols/relu_gc."""

import numpy as np

from pi_system.kernels.garble import garble_evaluate, garble_inputs
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material, padded
from pi_system.protocols.ot.strings import pack_ring, unpack_ring
from pi_system.protocols.phases import ServerSteps
from pi_system.ring.carrier import RingArray


class GcServer(ServerSteps):
    """Party 0, the garbler. Material: see ``server_shapes``."""

    def __init__(self, spec: GateSpec, material: Material):
        """Take over ``material`` of ``offline_server``."""
        super().__init__(spec)
        self._seed, self._delta = material["seed"].tobytes(), material["delta"].tobytes()
        self._offset = material["offset"]

    def load(self, first: int, share: RingArray) -> None:
        """Hand in y_0 of a chunk; half an ulp of the result is added, so that it is rounded to nearest."""
        self._shares[first] = share + share.dtype.type(self._spec.half)

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

    def receive(self, exchange: int, first: int, count: int, reply: memoryview) -> None:
        """Add the garbler's share."""
        value = unpack_ring(np.frombuffer(reply, np.uint8), count, self._spec.ring_bits)
        mask = value.dtype.type((1 << self._spec.ring_bits) - 1)
        self._out[first : first + count] = (value + self._offset[first : first + count]) & mask


class GcClient:
    """Party 1, the evaluator. Material: see ``client_shapes``."""

    def __init__(self, spec: GateSpec, material: Material):
        """Take over ``material`` of ``offline_client``."""
        self._spec, self._material = spec, material

    def reply(self, exchange: int, first: int, count: int, message: memoryview) -> memoryview:
        """Evaluate a chunk; answer the share of ReLU(y) >> shift minus r."""
        material = self._material
        share = garble_evaluate(
            self._spec.comparison_bits,
            self._spec.shift,
            tweak=int(material["tweak"][0]),
            first=first,
            count=count,
            server=np.frombuffer(message, np.uint8),
            client=material["labels"],
            tables=material["tables"],
            rows=material["rows"],
        )
        mask = material["mask"][first : first + count]
        return pack_ring(share.astype(mask.dtype) - mask, self._spec.ring_bits).data
