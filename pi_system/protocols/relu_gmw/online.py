"""Both parties' steps of the ReLU ``gmw`` online: pure state and messages; see protocols/relu_gmw and tree.py."""

import numpy as np

from pi_system.kernels.gmw import gmw_mask, gmw_open, gmw_replies, gmw_result
from pi_system.kernels.packing import Bytes, packed_bytes
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material
from pi_system.protocols.ot.strings import pack_ring, unpack_ring
from pi_system.protocols.phases import ServerSteps
from pi_system.protocols.relu_gmw.cost import cut_of
from pi_system.protocols.relu_gmw.tree import ClientTree, ServerTree, part, planes_of
from pi_system.ring.carrier import RingArray


class GmwServer(ServerSteps):
    """Party 0. Material: see ``server_shapes``."""

    def __init__(self, spec: GateSpec, material: Material):
        """Take over ``material`` of ``offline_server``."""
        super().__init__(spec)
        self._material, self._tree = material, ServerTree(cut_of(spec), material)
        self._late: dict[int, Bytes] = {}

    def load(self, first: int, share: RingArray) -> None:
        """Hand in y_0 of a chunk; half an ulp of the result is added, so that it is rounded to nearest."""
        self._shares[first] = share + share.dtype.type(self._spec.half)

    def send(self, exchange: int, first: int, count: int) -> memoryview:
        """Exchange 0: the leaves' tables, the masked truncated share, the sign; 1: level 2."""
        if exchange == 1:
            return self._tree.last(self._late.pop(first), first, count).data
        share = self._shares.pop(first)
        tables = self._tree.tables(share, first)
        return np.concatenate([tables, *self._masked_value(share, first)]).data

    def _masked_value(self, share: RingArray, first: int) -> list[Bytes]:
        """The sum (1 - 2 c_s) (A_0 + c_s) minus the mask; and for the wrap (1 - 2 c_s) [y_0 < 0]."""
        spec, count = self._spec, len(share)
        mask = part(self._material, "mask", first, count)
        carry = self._share_of_carry(first, count)
        if carry is None:
            return [pack_ring(share - mask, spec.ring_bits)]
        sign = part(self._material, "sign", first, count)
        value, wrap = gmw_mask(spec.ring_bits, spec.shift, share, carry, mask, sign)
        return [pack_ring(value, spec.ring_bits), pack_ring(wrap, spec.shift)]

    def _share_of_carry(self, first: int, count: int) -> Bytes | None:
        """The plane of c_s; none where no bits are dropped."""
        return planes_of(self._material, "choice", first, count)[1] if self._spec.shift else None

    def receive(self, exchange: int, first: int, count: int, reply: memoryview) -> None:
        """Exchange 0: level 1; 1: the result."""
        data = np.frombuffer(reply, np.uint8)
        if exchange == 0:
            self._late[first] = self._tree.level1(data, first, count)
        else:
            self._finish(data, first, count)

    def _finish(self, data: Bytes, first: int, count: int) -> None:
        """Unmask D: the reply that belongs to the server's share of the comparison's result."""
        bits, plane = self._spec.ring_bits, (count + 7) // 8
        zero, one = (unpack_ring(half, count, bits) for half in data[plane:].reshape(2, -1))
        choice = planes_of(self._material, "choice", first, count)[0]
        own = tuple(part(self._material, f"final_{name}", first, count) for name in ("zero", "one"))
        out = self._out[first : first + count]
        gmw_result(bits, choice, data[:plane], self._share_of_carry(first, count), (zero, one), own, out)


class GmwClient:
    """Party 1. Material: see ``client_shapes``."""

    def __init__(self, spec: GateSpec, material: Material):
        """Take over ``material`` of ``offline_client``."""
        self._spec, self._material, self._tree = spec, material, ClientTree(cut_of(spec), material)
        self._truncated: dict[int, RingArray] = {}

    def reply(self, exchange: int, first: int, count: int, message: memoryview) -> memoryview:
        """Exchange 0: level 1; 1: both possible results under the pads of the OT."""
        data = np.frombuffer(message, np.uint8)
        if exchange == 0:
            tables = count * cut_of(self._spec).word_bytes
            self._truncated[first] = self._masked_value(data[tables:], first, count)
            return self._tree.answer(data[:tables], first, count).data
        return self._results(data, first, count)

    def _masked_value(self, data: Bytes, first: int, count: int) -> RingArray:
        """The value (1 - 2 c_s) Y up to the server's mask and this party's share of the carry."""
        spec = self._spec
        size = packed_bytes(count, spec.ring_bits)
        value: RingArray = unpack_ring(data[:size], count, spec.ring_bits)
        truncated = part(self._material, "truncated", first, count)
        if not spec.shift:
            value += truncated
            return value
        correction = unpack_ring(data[size:], count, spec.shift)
        negative = planes_of(self._material, "sign", first, count)[0]
        sign_word = part(self._material, "sign_word", first, count)
        gmw_open(spec.ring_bits, spec.shift, value, truncated, negative, sign_word, correction)
        return value

    def _results(self, message: Bytes, first: int, count: int) -> memoryview:
        """b (V + b rho's share) minus this party's share of r, for both values of the server's share of b."""
        bits = self._spec.ring_bits
        positive, *carry = self._tree.result(message, first, count)
        swapped = positive ^ planes_of(self._material, "unmask_choice", first, count)[0]
        unmask = part(self._material, "unmask", first, count)
        own = tuple(part(self._material, f"reply_{name}", first, count) for name in ("zero", "one"))
        plane = carry[0] if carry else None  # none without a shift
        zero, one = gmw_replies(positive, swapped, plane, self._truncated.pop(first), unmask, own)
        return np.concatenate([swapped, pack_ring(zero, bits), pack_ring(one, bits)]).data
