"""Both parties' gates: the online phase as pure state and messages."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import InvariantError, RemoteProtocolError
from pi_system.kernels.gmw import gmw_select, gmw_tables
from pi_system.kernels.ot import Bytes
from pi_system.kernels.packing import packed_bytes
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.ot.material import Material, Shapes, check_material
from pi_system.protocols.ot.strings import carrier, pack_ring, unpack_ring
from pi_system.protocols.relu_gmw.cost import ROUND_TRIPS, client_shapes, message_bytes, reply_bytes, server_shapes
from pi_system.protocols.relu_gmw.merge import Merge, Planes, Variable
from pi_system.protocols.relu_gmw.plan import plan
from pi_system.protocols.relu_gmw.planes import as_bits, shifted_down, sign_bits, where_bit

__all__ = ["GmwClient", "GmwServer"]

RingArray = NDArray[Any]


def _inputs(group: Merge, less: Planes, equal: Planes) -> dict[Variable, Bytes]:
    """Shares of a merge's inputs by name."""
    values = (*less[: group.size], *equal[: len(group.variables) - group.size])
    return dict(zip(group.variables, values, strict=True))


def _planes(data: Bytes, count: int) -> Bytes:
    """A message of planes, one a row."""
    return data.reshape(-1, (count + 7) // 8)


class _Party:
    """What both gates share: sizes, and slices of the material."""

    round_trips = ROUND_TRIPS

    def __init__(self, spec: GateSpec, material: Material, shapes: Shapes):
        """Check the material against ``spec``. Raises CorrelationMismatchError."""
        check_material(material, shapes)
        self._spec, self._cut, self._material = spec, plan(spec.comparison_bits), material

    def _part(self, name: str, first: int, count: int) -> NDArray[Any]:
        """Elements of an array of the material."""
        return self._material[name][..., first : first + count]

    def _bits(self, name: str, first: int, count: int) -> Bytes:
        """Planes of the material."""
        return self._material[name][..., first // 8 : first // 8 + (count + 7) // 8]


class GmwServer(_Party):
    """Party 0 (a ServerGate); one use.

    Material, for N elements in whole blocks: pads (bytes an element * N,); level1_sigma, level1_offset, level2_mask,
    level2_offset: planes (.., N / 8); mask, final_zero, final_one (N,) in the ring; with a shift, sign (N,).
    """

    def __init__(self, spec: GateSpec, material: Material):
        """Take over ``material`` of ``offline_server``. Raises CorrelationMismatchError."""
        super().__init__(spec, material, server_shapes(spec))
        self._shares: dict[int, RingArray] = {}
        self._late: dict[int, dict[Variable, Bytes]] = {}
        self._out: RingArray = np.empty(spec.count, carrier(spec.ring_bits))
        self._done = 0

    def load(self, first: int, share: RingArray) -> None:
        """Hand in y_0 of a chunk."""
        self._shares[first] = np.ascontiguousarray(share)

    def send(self, exchange: int, first: int, count: int) -> memoryview:
        """Exchange 0: the leaves' tables, the masked truncated share, the sign; 1: level 2."""
        if exchange == 1:
            masks, offsets = (self._bits(name, first, count) for name in ("level2_mask", "level2_offset"))
            planes = self._cut.level2.late_message(self._late.pop(first), masks, offsets)
            return np.stack(planes).reshape(-1).data
        spec, share = self._spec, self._shares.pop(first)
        tables = gmw_tables(self._cut.widths, spec.comparison_bits - 1, share, self._material["pads"], first)
        masked = shifted_down(share, spec.ring_bits, spec.shift) - self._part("mask", first, count)
        parts = [tables, pack_ring(masked, spec.ring_bits)]
        if spec.shift:
            sign = self._part("sign", first, count)
            parts.append(pack_ring(sign + sign_bits(share, spec.ring_bits).astype(sign.dtype), spec.shift))
        return np.concatenate(parts).data

    def work(self, exchange: int, first: int, count: int) -> None:
        """Nothing is left to do while the client works."""

    def reply_bytes(self, exchange: int, count: int) -> int:
        """Size of the client's reply."""
        return reply_bytes(self._spec, exchange, count)

    def receive(self, exchange: int, first: int, count: int, reply: memoryview) -> None:
        """Exchange 0: level 1; 1: the result."""
        data = _checked(reply, self.reply_bytes(exchange, count))
        if exchange == 0:
            self._late[first] = self._level1(_planes(data, count), first, count)
        else:
            self._finish(data, first, count)

    def _level1(self, message: Bytes, first: int, count: int) -> dict[Variable, Bytes]:
        """The server's shares of the groups' results, by level 2's names."""
        sigma, offset = (self._bits(name, first, count) for name in ("level1_sigma", "level1_offset"))
        less, equal = [], []
        at = slot = output = 0
        for group in self._cut.level1:
            sigmas = dict(zip(group.coefficients, sigma[slot:], strict=False))
            results = group.early_outputs(message[at:], sigmas, offset[output:])
            less.append(results[0])
            equal += results[1:]
            at, slot = at + group.message_planes, slot + len(group.coefficients)
            output += group.outputs
        return _inputs(self._cut.level2, less, equal)

    def _finish(self, data: Bytes, first: int, count: int) -> None:
        """Unmask D: the reply that belongs to the server's share of the comparison's result."""
        bits, plane = self._spec.ring_bits, (count + 7) // 8
        swapped = as_bits(data[:plane], count)
        zero, one = (unpack_ring(part, count, bits) for part in data[plane:].reshape(2, -1))
        choice = as_bits(self._bits("choice", first, count)[0], count)
        own = where_bit(swapped, self._part("final_one", first, count), self._part("final_zero", first, count))
        mask = self._out.dtype.type((1 << bits) - 1)
        self._out[first : first + count] = (where_bit(choice, one, zero) + own) & mask
        self._done += count

    def result(self) -> RingArray:
        """D of all elements."""
        if self._done != self._spec.count:
            raise InvariantError("gate: expected every chunk finished before its result is read")
        return self._out


class GmwClient(_Party):
    """Party 1 (a ClientGate); one use.

    Material: choices (leaves, N); less, equal, level1_mask, level1_offset, level2_sigma, level2_offset,
    unmask_choice: planes; unmask, truncated, reply_zero, reply_one (N,) in the ring; with a shift, sign: a plane,
    and sign_word (N,).
    """

    def __init__(self, spec: GateSpec, material: Material):
        """Take over ``material`` of ``offline_client``. Raises CorrelationMismatchError."""
        super().__init__(spec, material, client_shapes(spec))
        self._truncated: dict[int, RingArray] = {}

    def message_bytes(self, exchange: int, count: int) -> int:
        """Size of the server's message."""
        return message_bytes(self._spec, exchange, count)

    def reply(self, exchange: int, first: int, count: int, message: memoryview) -> memoryview:
        """Exchange 0: level 1; 1: both possible results under the pads of the OT."""
        data = _checked(message, self.message_bytes(exchange, count))
        if exchange == 0:
            tables = count * self._cut.word_bytes
            self._truncated[first] = self._masked_value(data[tables:], first, count)
            return self._level1(data[:tables], first, count)
        return self._results(_planes(data, count), first, count)

    def _masked_value(self, data: Bytes, first: int, count: int) -> RingArray:
        """The value y >> shift up to the server's mask."""
        spec = self._spec
        size = packed_bytes(count, spec.ring_bits)
        value: RingArray = unpack_ring(data[:size], count, spec.ring_bits) + self._part("truncated", first, count)
        if not spec.shift:
            return value
        correction = unpack_ring(data[size:], count, spec.shift)
        negative = as_bits(self._bits("sign", first, count)[0], count)
        both = self._part("sign_word", first, count) + where_bit(negative, correction, np.zeros_like(correction))
        result: RingArray = value + (both.astype(value.dtype) << value.dtype.type(spec.ring_bits - spec.shift))
        return result

    def _level1(self, words: Bytes, first: int, count: int) -> memoryview:
        """Read the leaves and merge the groups."""
        cut = self._cut
        less, equal = gmw_select(cut.widths, cut.bits, words, self._material["choices"], first, count)
        less ^= self._bits("less", first, count)
        equal ^= self._bits("equal", first, count)
        masks, offsets = (self._bits(name, first, count) for name in ("level1_mask", "level1_offset"))
        planes: list[Bytes] = []
        at = mask = output = 0
        for group in cut.level1:
            end = mask + len(group.monomials)
            late = _inputs(group, less[at:], equal[at:])
            planes += group.late_message(late, masks[mask:end], offsets[output:])
            at, mask, output = at + group.size, end, output + group.outputs
        return np.stack(planes).reshape(-1).data

    def _results(self, message: Bytes, first: int, count: int) -> memoryview:
        """B (Y + rho) - r for both values of the server's share of b."""
        sigma, offset = (self._bits(name, first, count) for name in ("level2_sigma", "level2_offset"))
        sigmas = dict(zip(self._cut.level2.coefficients, sigma, strict=True))
        positive = self._cut.level2.early_outputs(message, sigmas, offset)[0]
        swapped = positive ^ self._bits("unmask_choice", first, count)[0]
        value = self._truncated.pop(first)
        word = self._part("unmask", first, count)
        mine = where_bit(as_bits(swapped, count), 0 - word, word)
        nothing, bit = np.zeros_like(value), as_bits(positive, count)
        zero = where_bit(bit, value, nothing) + mine + self._part("reply_zero", first, count)
        one = where_bit(bit, nothing, value) + mine + self._part("reply_one", first, count)
        bits = self._spec.ring_bits
        return np.concatenate([swapped, pack_ring(zero, bits), pack_ring(one, bits)]).data


def _checked(message: memoryview, nbytes: int) -> Bytes:
    """The message as bytes. Raises RemoteProtocolError."""
    if message.nbytes != nbytes:
        raise RemoteProtocolError(f"gmw: expected a message of {nbytes} bytes, found {message.nbytes}")
    return np.frombuffer(message, np.uint8)
