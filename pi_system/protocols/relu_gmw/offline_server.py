"""The server's offline phase: correlated OTs to one gate's material.

Elements go in chunks, so that COTs are hashed while they are in the cache. The server sends what it can for all
chunks, then listens; the client answers chunk by chunk, then sends its own COTs: one round trip.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pi_system.channel.base import Channel
from pi_system.kernels.ot import Blocks, Bytes, bit_products_sender, pads_sender, pads_shift
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.ot import Cots, OtParty
from pi_system.protocols.ot.base import receive_array
from pi_system.protocols.ot.material import Material
from pi_system.protocols.ot.strings import RingArray, random_receive, random_send
from pi_system.protocols.relu_gmw.cost import server_cots
from pi_system.protocols.relu_gmw.early import EarlyPart, chunks, early_part, joined, random_planes, stacked
from pi_system.protocols.relu_gmw.merge import Merge, Slot
from pi_system.protocols.relu_gmw.plan import Plan, plan
from pi_system.protocols.relu_gmw.planes import as_bits, as_plane, where_bit
from pi_system.ring.prg import Prg

__all__ = ["offline_server"]


@dataclass(slots=True)
class _ServerChunk:
    """What the server keeps of a chunk until the client has answered."""

    pads: list[NDArray[np.uint32]]
    level2: list[tuple[Bytes, Bytes]]
    unmask: tuple[RingArray, RingArray]
    sign: tuple[RingArray, RingArray] | None
    material: Material


def offline_server(spec: GateSpec, channel: Channel, ots: OtParty, prg: Prg) -> Material:
    """The server's material; see protocols/relu_gmw. Raises RemoteProtocolError or ConfigError."""
    cut = plan(spec.comparison_bits)
    begun = [_server_begin(spec, cut, size, channel, ots, prg) for _, size in chunks(spec.count)]
    signs = [_server_choices(spec, cut, chunk, channel) for chunk in begun]
    for chunk, sign in zip(begun, signs, strict=True):
        _server_end(spec, chunk, sign, channel, ots)
    material = joined([chunk.material for chunk in begun])
    material["pads"] = np.concatenate(
        [
            np.concatenate([chunk.pads[leaf] for chunk in begun]).astype(_word(cut, leaf)).view(np.uint8)
            for leaf in range(len(cut.widths))
        ]
    )
    return material


def _word(cut: Plan, leaf: int) -> type:
    """The word in which a leaf's table is sent."""
    bits = (1 << cut.widths[leaf]) * (2 if leaf + 1 < len(cut.widths) else 1)
    return np.uint8 if bits <= 8 else np.uint16 if bits == 16 else np.uint32


def _server_begin(spec: GateSpec, cut: Plan, size: int, channel: Channel, ots: OtParty, prg: Prg) -> _ServerChunk:
    """Everything that does not depend on the client; sends the level 1 coefficients."""
    cots, delta = ots.sender.extend(size * server_cots(spec), channel), ots.sender.delta
    pads = [_hash_pads(cots, delta, size, m) for m in cut.widths]
    inputs: list[tuple[Bytes, Bytes | None]] = []
    sigmas: list[Bytes] = []
    offsets: list[Bytes] = []
    message: list[Bytes] = []
    for group in cut.level1:
        early = _early_server(group, cots, delta, size, prg)
        inputs += early.inputs
        sigmas += early.sigmas
        offsets += early.offsets
        message += early.message
    if message:
        channel.send(np.stack(message).tobytes())
    for words, m, (less, equal) in zip(pads, cut.widths, inputs, strict=True):
        _mask_words(words, m, less, equal)
    level2 = [_sender_bits(cots, delta, size, 1) for _ in cut.level2.monomials]
    unmask = random_send(cots, delta, size, spec.ring_bits)
    sign = random_send(cots, delta, size, spec.shift) if spec.shift else None
    material = {"level1_sigma": stacked(sigmas, size), "level1_offset": stacked(offsets, size)}
    return _ServerChunk(pads, [(beta[0], v[0]) for beta, v in level2], unmask, sign, material)


def _hash_pads(cots: Cots, delta: Blocks, size: int, m: int) -> NDArray[np.uint32]:
    q, tweak = cots.take(m * size)
    return pads_sender(q, delta.tobytes(), tweak, m)


def _sender_bits(cots: Cots, delta: Blocks, size: int, width: int) -> tuple[Bytes, Bytes]:
    q, tweak = cots.take(size)
    return bit_products_sender(q, delta.tobytes(), tweak, width)


def _early_server(group: Merge, cots: Cots, delta: Blocks, size: int, prg: Prg) -> EarlyPart:
    factors: dict[Slot, Bytes] = {}
    parts: dict[Slot, Bytes] = {}
    for monomial in group.monomials:
        beta, v = _sender_bits(cots, delta, size, group.outputs)
        for output in range(group.outputs):
            if (monomial, output) in group.coefficients:
                factors[monomial, output], parts[monomial, output] = beta[output], v[output]
    return early_part(group, factors, parts, random_planes(prg, len(group.variables), size))


def _mask_words(words: NDArray[np.uint32], m: int, less: Bytes, equal: Bytes | None) -> None:
    """Put the server's shares of a leaf's outputs into its pads: all entries of a half carry the same bit."""
    half = np.uint32((1 << (1 << m)) - 1)
    words ^= (0 - as_bits(less, len(words)).astype(np.uint32)) & half
    if equal is not None:
        words ^= ((0 - as_bits(equal, len(words)).astype(np.uint32)) & half) << np.uint32(1 << m)


def _server_choices(spec: GateSpec, cut: Plan, chunk: _ServerChunk, channel: Channel) -> Bytes | None:
    """Take the client's message of a chunk: leaf choices, level 2 coefficients, and the choice for the sign."""
    size = len(chunk.unmask[0])
    planes = cut.leaf_cots + len(cut.level2.fixed) + (1 if spec.shift else 0)
    message = receive_array(channel, (planes, size // 8), np.uint8)
    at = 0
    for pads, m in zip(chunk.pads, cut.widths, strict=True):
        pads_shift(pads, message[at : at + m], m)
        at += m
    fixed = dict(zip((monomial for monomial, _ in cut.level2.fixed), message[at:], strict=False))
    offset = np.zeros(size // 8, np.uint8)
    for monomial, (beta, v) in zip(cut.level2.monomials, chunk.level2, strict=True):
        offset ^= v ^ (beta & fixed[monomial]) if monomial in fixed else v
    chunk.material["level2_mask"] = stacked([beta for beta, _ in chunk.level2], size)
    chunk.material["level2_offset"] = offset[None]
    return as_bits(message[-1], size) if spec.shift else None


def _server_end(spec: GateSpec, chunk: _ServerChunk, sign_choice: Bytes | None, channel: Channel, ots: OtParty) -> None:
    """The OT in which the server chooses: by its share of the comparison's result, which is the random choice."""
    size = len(chunk.unmask[0])
    choice, chosen = random_receive(ots.receiver.extend(size, channel), size, spec.ring_bits)
    own = as_plane(choice)[None]
    chunk.material["choice"] = own
    chunk.material["level2_offset"] ^= own
    sign = None if chunk.sign is None or sign_choice is None else (chunk.sign, sign_choice)
    chunk.material |= _server_words(spec, chunk.unmask, sign, choice, chosen)


def _server_words(
    spec: GateSpec,
    unmask: tuple[RingArray, RingArray],
    sign: tuple[tuple[RingArray, RingArray], Bytes] | None,
    choice: Bytes,
    chosen: RingArray,
) -> Material:
    """The server's ring elements: rho hides its truncated share, with tau = (1 - 2 s_b) rho = h_1 - h_0."""
    tau = unmask[1] - unmask[0]
    rho = where_bit(choice, 0 - tau, tau)
    kept = rho * choice.astype(rho.dtype) - chosen
    material = {"final_zero": kept - unmask[0], "final_one": kept + unmask[1], "mask": rho}
    if sign is not None:
        (zero, one), flipped = sign
        own, other = where_bit(flipped, one, zero), where_bit(flipped, zero, one)
        top = rho.dtype.type(spec.ring_bits - spec.shift)
        material["mask"] = rho + (own.astype(rho.dtype) << top)
        material["sign"] = own - other
    return material
