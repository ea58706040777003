"""The client's offline phase: correlated OTs to one gate's material. See offline_server.py for the order."""

import numpy as np

from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import Half, Send, in_turn
from pi_system.protocols.material import Material, padded_shares
from pi_system.protocols.ot import OtParty
from pi_system.protocols.ot.strings import pack_ring, random_receive, random_send, random_send_pairs
from pi_system.protocols.relu_gmw.cost import cut_of, server_cots
from pi_system.protocols.relu_gmw.early import chunks, joined, receive_planes, stacked
from pi_system.protocols.relu_gmw.planes import as_plane, shifted_down, sign_bits
from pi_system.protocols.relu_gmw.tree_client import begin_client
from pi_system.ring.carrier import RingArray
from pi_system.ring.prg import Prg


def offline_client(spec: GateSpec, y_share: RingArray, fresh_mask: RingArray, ots: OtParty, prg: Prg) -> Half[Material]:
    """The client's material; see protocols/relu_gmw. Raises RemoteProtocolError, ConfigError (k is too large)."""
    share, mask = padded_shares(spec.count, y_share, fresh_mask)
    pieces = list(chunks(spec.count))
    parts = yield from in_turn(_begin(spec, share[at : at + size], ots, prg) for at, size in pieces)
    for (at, size), part in zip(pieces, parts, strict=True):
        yield from _offer(spec, part, mask[at : at + size], ots)
    return joined(parts)


def _begin(spec: GateSpec, share: RingArray, ots: OtParty, prg: Prg) -> Half[Material]:
    """Everything that needs only the server's COTs."""
    size, cut = len(share), cut_of(spec)
    cots = yield from ots.receiver.extend(size * server_cots(spec))
    corrections = yield from receive_planes(cut.offline_planes[0], size)
    material, planes = begin_client(cut, share, cots, corrections, prg)
    choice, material["unmask"] = random_receive(cots, size, spec.ring_bits)
    material["unmask_choice"] = as_plane(choice)[None]
    material["truncated"] = shifted_down(share, spec.ring_bits, spec.shift)
    if spec.shift:
        sign_choice, material["sign_word"] = random_receive(cots, size, spec.shift)
        negative = sign_bits(share, spec.ring_bits)
        material["sign"] = as_plane(negative)[None]
        planes.append(as_plane(negative.astype(np.uint8) ^ sign_choice))
    yield Send(stacked(planes, size).tobytes())
    return material


def _offer(spec: GateSpec, part: Material, mask: RingArray, ots: OtParty) -> Half[None]:
    """The OTs in which the server chooses: the two replies, and with a shift the sign of A_1 and of r."""
    size = len(mask)
    cots, delta = (yield from ots.sender.extend(size * (2 if spec.shift else 1))), ots.sender.delta
    zero, one = random_send(cots, delta, size, spec.ring_bits)
    if spec.shift:
        pads, others = random_send_pairs(cots, delta, size, spec.ring_bits)
        words = np.stack([part["truncated"], mask])
        yield Send(pack_ring((pads - others - words - words).reshape(-1), spec.ring_bits).data)
        part["truncated"], mask = words - pads
    part |= {"reply_zero": zero - mask, "reply_one": one - mask}
