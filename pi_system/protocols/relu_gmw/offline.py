"""The offline phase of both parties: correlated OTs to one gate's material.

Elements go in chunks, so that COTs are hashed while they are in the cache. The server sends what it can for all
chunks, then listens; the client answers chunk by chunk, then sends its own COTs: one round trip.
Material keys are listed at the two classes of online.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pi_system.channel.base import Channel
from pi_system.errors import LocalProtocolError
from pi_system.kernels.ot import (
    Blocks,
    Bytes,
    bit_products_receiver,
    bit_products_sender,
    pads_receiver,
    pads_sender,
    pads_shift,
)
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.ot import Cots, OtParty
from pi_system.protocols.ot.base import receive_array
from pi_system.protocols.ot.strings import RingArray, random_receive, random_send
from pi_system.protocols.relu_gmw.merge import Merge, Slot
from pi_system.protocols.relu_gmw.plan import Plan, plan
from pi_system.protocols.relu_gmw.planes import (
    Material,
    as_bits,
    as_plane,
    padded,
    shifted_down,
    sign_bits,
    where_bit,
)
from pi_system.ring.prg import Prg

__all__ = ["offline_client", "offline_server"]

_CHUNK = 4096  # elements; their COTs, about 3 MB, mostly stay in the second-level cache


def down_cots(cut: Plan, shift: int) -> int:
    """COTs an element from server to client."""
    return cut.leaf_cots + cut.product_cots + (2 if shift else 1)


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    """(first, size) of whole blocks."""
    total = padded(count)
    for first in range(0, total, _CHUNK):
        yield first, min(_CHUNK, total - first)


def _random_planes(prg: Prg, count: int, size: int) -> list[Bytes]:
    planes = np.empty((count, size // 8), np.uint8)
    prg.into(planes)
    return list(planes)


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
    chunks = [_server_begin(spec, cut, size, channel, ots, prg) for _, size in _chunks(spec.count)]
    signs = [_server_choices(spec, cut, chunk, channel) for chunk in chunks]
    for chunk, sign in zip(chunks, signs, strict=True):
        _server_end(spec, chunk, sign, channel, ots)
    material = _joined([chunk.material for chunk in chunks])
    material["pads"] = np.concatenate(
        [
            np.concatenate([chunk.pads[leaf] for chunk in chunks]).astype(_word(cut, leaf)).view(np.uint8)
            for leaf in range(len(cut.widths))
        ]
    )
    return material


def _joined(parts: list[Material]) -> Material:
    """Chunks put together: elements, or their bits, are the last axis of every array."""
    return {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}


def _word(cut: Plan, leaf: int) -> type:
    """The word in which a leaf's table is sent."""
    bits = (1 << cut.widths[leaf]) * (2 if leaf + 1 < len(cut.widths) else 1)
    return np.uint8 if bits <= 8 else np.uint16 if bits == 16 else np.uint32


def _server_begin(spec: GateSpec, cut: Plan, size: int, channel: Channel, ots: OtParty, prg: Prg) -> _ServerChunk:
    """Everything that does not depend on the client; sends the level 1 coefficients."""
    cots, delta = ots.sender.extend(size * down_cots(cut, spec.shift), channel), ots.sender.delta
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
    material = {"level1_sigma": _stack(sigmas, size), "level1_offset": _stack(offsets, size)}
    return _ServerChunk(pads, [(beta[0], v[0]) for beta, v in level2], unmask, sign, material)


def _hash_pads(cots: Cots, delta: Blocks, size: int, m: int) -> NDArray[np.uint32]:
    q, tweak = cots.take(m * size)
    return pads_sender(q, delta.tobytes(), tweak, m)


def _sender_bits(cots: Cots, delta: Blocks, size: int, width: int) -> tuple[Bytes, Bytes]:
    q, tweak = cots.take(size)
    return bit_products_sender(q, delta.tobytes(), tweak, width)


def _receiver_bits(cots: Cots, size: int, width: int) -> tuple[Bytes, Bytes]:
    t, tweak = cots.take(size)
    return bit_products_receiver(t, tweak, width)


def _stack(planes: list[Bytes], size: int) -> Bytes:
    return np.stack(planes) if planes else np.empty((0, size // 8), np.uint8)


@dataclass(slots=True)
class _Early:
    """The early party's part of one merge: shares of its inputs, coefficients, and what it must send."""

    inputs: list[tuple[Bytes, Bytes | None]]
    sigmas: list[Bytes]
    offsets: list[Bytes]
    message: list[Bytes]


def _early(group: Merge, factors: dict[Slot, Bytes], parts: dict[Slot, Bytes], fresh: list[Bytes]) -> _Early:
    """Define the inputs from the random ``factors``; ``parts`` are the v of the products."""
    s = group.early_inputs(factors, fresh)
    sigmas = {slot: group.sigma(s, slot) for slot in group.coefficients}
    offsets = [group.alone(s, output) for output in range(group.outputs)]
    for (_, output), part in parts.items():
        offsets[output] = offsets[output] ^ part
    inputs = [(s["l", i], s.get(("e", i))) for i in range(group.size)]
    return _Early(inputs, list(sigmas.values()), offsets, [sigmas[slot] ^ factors[slot] for slot in group.fixed])


def _early_server(group: Merge, cots: Cots, delta: Blocks, size: int, prg: Prg) -> _Early:
    factors: dict[Slot, Bytes] = {}
    parts: dict[Slot, Bytes] = {}
    for monomial in group.monomials:
        beta, v = _sender_bits(cots, delta, size, group.outputs)
        for output in range(group.outputs):
            if (monomial, output) in group.coefficients:
                factors[monomial, output], parts[monomial, output] = beta[output], v[output]
    return _early(group, factors, parts, _random_planes(prg, len(group.variables), size))


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
    chunk.material["level2_mask"] = _stack([beta for beta, _ in chunk.level2], size)
    chunk.material["level2_offset"] = offset[None]
    return as_bits(message[-1], size) if spec.shift else None


def _server_end(
    spec: GateSpec, chunk: _ServerChunk, sign_choice: Bytes | None, channel: Channel, ots: OtParty
) -> None:
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


def offline_client(
    spec: GateSpec, y_share: RingArray, fresh_mask: RingArray, channel: Channel, ots: OtParty, prg: Prg
) -> Material:
    """The client's material.

    Args:
        spec: of the gate.
        y_share: y_1, (count,), the client's share of the gate's input.
        fresh_mask: r, (count,).
        channel: to the server, which runs ``offline_server``.
        ots: both directions.
        prg: the client's randomness.

    Raises:
        RemoteProtocolError: a message of the server is malformed.
        ConfigError: k is too large for this protocol.
    """
    if y_share.shape != (spec.count,) or fresh_mask.shape != (spec.count,):
        raise LocalProtocolError(f"gate: expected shares of {spec.count}, found {y_share.shape}, {fresh_mask.shape}")
    cut = plan(spec.comparison_bits)
    room = padded(spec.count) - spec.count
    share, mask = np.pad(y_share, (0, room)), np.pad(fresh_mask, (0, room))
    chunks = list(_chunks(spec.count))
    parts = [_client_begin(spec, cut, share[at : at + size], channel, ots, prg) for at, size in chunks]
    for (at, size), part in zip(chunks, parts, strict=True):
        cots = ots.sender.extend(size, channel)
        zero, one = random_send(cots, ots.sender.delta, size, spec.ring_bits)
        fresh = mask[at : at + size]
        part |= {"reply_zero": zero - fresh, "reply_one": one - fresh}
    return _joined(parts)


def _client_begin(
    spec: GateSpec, cut: Plan, share: RingArray, channel: Channel, ots: OtParty, prg: Prg
) -> Material:
    """Everything that needs only the server's COTs."""
    size = len(share)
    cots = ots.receiver.extend(size * down_cots(cut, spec.shift), channel)
    material, message = _client_leaves(spec, cut, share, cots)
    early, masks, offsets = _client_level1(cut, cots, size, channel, prg)
    material |= {"level1_mask": _stack(masks, size), "level1_offset": _stack(offsets, size)}
    material |= {"level2_sigma": _stack(early.sigmas, size), "level2_offset": _stack(early.offsets, size)}
    choice, word = random_receive(cots, size, spec.ring_bits)
    truncated = shifted_down(share, spec.ring_bits, spec.shift)
    material |= {"unmask_choice": as_plane(choice)[None], "unmask": word}
    planes = [*message, *early.message]
    if spec.shift:
        # Rounded up, so that the mean error of both parties' truncations is 0.
        truncated += (share & share.dtype.type((1 << spec.shift) - 1)) != 0
        sign_choice, sign_word = random_receive(cots, size, spec.shift)
        negative = sign_bits(share, spec.ring_bits)
        material |= {"sign": as_plane(negative)[None], "sign_word": sign_word}
        planes.append(as_plane(negative.astype(np.uint8) ^ sign_choice))
    material["truncated"] = truncated
    channel.send(_stack(planes, size).tobytes())
    return material


def _client_leaves(spec: GateSpec, cut: Plan, share: RingArray, cots: Cots) -> tuple[Material, list[Bytes]]:
    """Choices of the leaves, their pads, and the shifts to send."""
    size, low = len(share), spec.comparison_bits - 1
    inverted = ~share & share.dtype.type((1 << low) - 1)
    choices, less, equal, message = [], [], [], []
    at = sum(cut.widths)
    for m in cut.widths:
        at -= m
        choice = ((inverted >> share.dtype.type(at)) & share.dtype.type((1 << m) - 1)).astype(np.uint8)
        t, tweak = cots.take(m * size)
        shift, first, second = pads_receiver(t, tweak, m, choice)
        choices.append(choice)
        less.append(first)
        equal.append(second)
        message += list(shift)
    # The sign of the client's share is part of its share of the comparison's result.
    less[0] = less[0] ^ as_plane((share >> share.dtype.type(low)) & share.dtype.type(1))
    return {"choices": np.stack(choices), "less": _stack(less, size), "equal": _stack(equal[:-1], size)}, message


def _client_level1(
    cut: Plan, cots: Cots, size: int, channel: Channel, prg: Prg
) -> tuple[_Early, list[Bytes], list[Bytes]]:
    """The late party's masks and offsets of level 1, whose new shares are the early inputs of level 2."""
    masks: list[Bytes] = []
    sums: list[list[Bytes]] = []
    fixed = sum(len(group.fixed) for group in cut.level1)
    corrections = iter(receive_array(channel, (fixed, size // 8), np.uint8)) if fixed else iter(())
    for group in cut.level1:
        total = [np.zeros(size // 8, np.uint8) for _ in range(group.outputs)]
        us = {}
        for monomial in group.monomials:
            u, w = _receiver_bits(cots, size, group.outputs)
            us[monomial] = u
            for output in range(group.outputs):
                if (monomial, output) in group.coefficients:
                    total[output] ^= w[output]
        for monomial, output in group.fixed:
            total[output] ^= us[monomial] & next(corrections)
        masks += list(us.values())
        sums.append(total)
    early = _early_client(cut.level2, cots, size, prg)
    offsets = []
    for total, (less, equal) in zip(sums, early.inputs, strict=True):
        offsets += [plane ^ share for plane, share in zip(total, (less, equal), strict=False) if share is not None]
    return early, masks, offsets


def _early_client(group: Merge, cots: Cots, size: int, prg: Prg) -> _Early:
    factors, parts = {}, {}
    for slot in group.coefficients:  # one output: slots and monomials are in the same order
        u, w = _receiver_bits(cots, size, 1)
        factors[slot], parts[slot] = u, w[0]
    return _early(group, factors, parts, _random_planes(prg, len(group.variables), size))
