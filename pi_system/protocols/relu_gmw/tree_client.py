"""The client's offline phase of the comparison tree: correlated OTs to its material; tree_server.py has the order."""

from collections.abc import Iterator

import numpy as np

from pi_system.kernels.ot import bit_products_receiver, pads_receiver
from pi_system.kernels.packing import Bytes
from pi_system.protocols.material import Material
from pi_system.protocols.ot import Cots
from pi_system.protocols.relu_gmw.cut import Cut
from pi_system.protocols.relu_gmw.early import EarlyPart, early_part, random_planes, stacked
from pi_system.protocols.relu_gmw.merge import Merge, Slot
from pi_system.protocols.relu_gmw.planes import as_plane
from pi_system.ring.carrier import RingArray
from pi_system.ring.prg import Prg


def begin_client(
    cut: Cut, share: RingArray, cots: Cots, corrections: Iterator[Bytes], prg: Prg
) -> tuple[Material, list[Bytes]]:
    """The material of a chunk and the planes to send.

    Args:
        cut: the tree.
        share: x_1 (n,), n in whole blocks; its low k bits count.
        cots: of which ``cut.cots`` an element are taken.
        corrections: the server's planes, ``cut.offline_planes[0]`` of them.
        prg: this gate's.
    """
    size = len(share)
    material, message = _leaves(cut, share, cots)
    early, masks, offsets = _level1(cut, cots, size, corrections, prg)
    material |= {"level1_mask": stacked(masks, size), "level1_offset": stacked(offsets, size)}
    material |= {"level2_sigma": stacked(early.sigmas, size), "level2_offset": stacked(early.offsets, size)}
    return material, [*message, *early.message]


def _leaves(cut: Cut, share: RingArray, cots: Cots) -> tuple[Material, list[Bytes]]:
    """Choices of the leaves, their pads, and the shifts to send."""
    size = len(share)
    inverted = ~share & share.dtype.type((1 << cut.bits) - 1)
    choices, less, equal, message = [], [], [], []
    at = sum(cut.widths)
    for m in cut.widths:
        at -= m
        choice = ((inverted >> share.dtype.type(at)) & share.dtype.type((1 << m) - 1)).astype(np.uint8)
        t, tweak = cots.take(m * size)
        shift, (first, second) = pads_receiver(t, tweak, m, 2, choice)
        choices.append(choice)
        less.append(first)
        equal.append(second)
        message += list(shift)
    # The sign of the client's share is part of its share of the comparison's result.
    less[0] = less[0] ^ as_plane((share >> share.dtype.type(cut.bits)) & share.dtype.type(1))
    return {"choices": np.stack(choices), "less": stacked(less, size), "equal": stacked(equal[:-1], size)}, message


def _level1(
    cut: Cut, cots: Cots, size: int, corrections: Iterator[Bytes], prg: Prg
) -> tuple[EarlyPart, list[Bytes], list[Bytes]]:
    """The late party's masks and offsets of level 1, whose new shares are the early inputs of level 2."""
    masks: list[Bytes] = []
    sums: list[list[Bytes]] = []
    for group in cut.level1:
        total = [np.zeros(size // 8, np.uint8) for _ in range(group.outputs)]
        us = {}
        for monomial, outputs in group.openings:
            u, w = _receiver_bits(cots, size, len(outputs))
            us[monomial] = u
            for place, output in enumerate(outputs):
                total[output] ^= w[place]
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
    factors: dict[Slot, Bytes] = {}
    parts: dict[Slot, Bytes] = {}
    for monomial, (output,) in group.openings:
        u, w = _receiver_bits(cots, size, 1)
        factors[monomial, output], parts[monomial, output] = u, w[0]
    return early_part(group, factors, parts, random_planes(prg, len(group.variables), size))


def _receiver_bits(cots: Cots, size: int, width: int) -> tuple[Bytes, Bytes]:
    t, tweak = cots.take(size)
    return bit_products_receiver(t, tweak, width)
