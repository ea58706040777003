"""The client's offline phase: correlated OTs to one gate's material. See offline_server.py for the order."""

import numpy as np

from pi_system.channel.base import Channel
from pi_system.kernels.ot import Bytes, bit_products_receiver, pads_receiver
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.ot import Cots, OtParty
from pi_system.protocols.ot.base import receive_array
from pi_system.protocols.ot.material import Material, padded
from pi_system.protocols.ot.strings import RingArray, random_receive, random_send
from pi_system.protocols.relu_gmw.cost import server_cots
from pi_system.protocols.relu_gmw.early import EarlyPart, chunks, early_part, joined, random_planes, stacked
from pi_system.protocols.relu_gmw.merge import Merge
from pi_system.protocols.relu_gmw.plan import Plan, plan
from pi_system.protocols.relu_gmw.planes import as_plane, shifted_down, sign_bits
from pi_system.ring.prg import Prg

__all__ = ["offline_client"]


def offline_client(
    spec: GateSpec, y_share: RingArray, fresh_mask: RingArray, channel: Channel, ots: OtParty, prg: Prg
) -> Material:
    """The client's material; see protocols/relu_gmw. Raises RemoteProtocolError, ConfigError (k is too large)."""
    spec.check_shares(y_share, fresh_mask)
    cut = plan(spec.comparison_bits)
    room = padded(spec.count) - spec.count
    share, mask = np.pad(y_share, (0, room)), np.pad(fresh_mask, (0, room))
    pieces = list(chunks(spec.count))
    parts = [_client_begin(spec, cut, share[at : at + size], channel, ots, prg) for at, size in pieces]
    for (at, size), part in zip(pieces, parts, strict=True):
        cots = ots.sender.extend(size, channel)
        zero, one = random_send(cots, ots.sender.delta, size, spec.ring_bits)
        fresh = mask[at : at + size]
        part |= {"reply_zero": zero - fresh, "reply_one": one - fresh}
    return joined(parts)


def _client_begin(spec: GateSpec, cut: Plan, share: RingArray, channel: Channel, ots: OtParty, prg: Prg) -> Material:
    """Everything that needs only the server's COTs."""
    size = len(share)
    cots = ots.receiver.extend(size * server_cots(spec), channel)
    material, message = _client_leaves(spec, cut, share, cots)
    early, masks, offsets = _client_level1(cut, cots, size, channel, prg)
    material |= {"level1_mask": stacked(masks, size), "level1_offset": stacked(offsets, size)}
    material |= {"level2_sigma": stacked(early.sigmas, size), "level2_offset": stacked(early.offsets, size)}
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
    channel.send(stacked(planes, size).tobytes())
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
    return {"choices": np.stack(choices), "less": stacked(less, size), "equal": stacked(equal[:-1], size)}, message


def _client_level1(
    cut: Plan, cots: Cots, size: int, channel: Channel, prg: Prg
) -> tuple[EarlyPart, list[Bytes], list[Bytes]]:
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


def _early_client(group: Merge, cots: Cots, size: int, prg: Prg) -> EarlyPart:
    factors, parts = {}, {}
    for slot in group.coefficients:  # one output: slots and monomials are in the same order
        u, w = _receiver_bits(cots, size, 1)
        factors[slot], parts[slot] = u, w[0]
    return early_part(group, factors, parts, random_planes(prg, len(group.variables), size))


def _receiver_bits(cots: Cots, size: int, width: int) -> tuple[Bytes, Bytes]:
    t, tweak = cots.take(size)
    return bit_products_receiver(t, tweak, width)
