"""The server's offline phase of the comparison tree: correlated OTs to its material, chunk by chunk.

    server                                                       client
    level 1 coefficients of a chunk (``begin_server``)      -->
                                                            <--  leaf choices, level 2 coefficients
    (``finish_server``)

Nothing is sent here: the protocols that use a tree send its planes with their own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pi_system.kernels.ot import Blocks, bit_products_sender, pads_sender, pads_shift
from pi_system.kernels.packing import Bytes
from pi_system.protocols.material import Material
from pi_system.protocols.ot import Cots
from pi_system.protocols.relu_gmw.cut import Cut
from pi_system.protocols.relu_gmw.early import EarlyPart, early_part, joined, random_planes, stacked
from pi_system.protocols.relu_gmw.merge import Merge, Slot
from pi_system.protocols.relu_gmw.planes import as_bits
from pi_system.ring.prg import Prg


@dataclass(slots=True)
class ServerChunk:
    """What the server keeps of a chunk until the client has answered: leaf pads, masks and products of level 2."""

    pads: list[NDArray[np.uint32]]
    level2: list[tuple[Bytes, Bytes]]
    material: Material


def begin_server(cut: Cut, cots: Cots, delta: Blocks, size: int, prg: Prg) -> tuple[ServerChunk, list[Bytes]]:
    """Everything that does not depend on the client, and the planes to send; takes ``cut.cots`` COTs an element."""
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
    for words, m, (less, equal) in zip(pads, cut.widths, inputs, strict=True):
        _mask_words(words, m, less, equal)
    level2 = [_sender_bits(cots, delta, size, 1) for _ in cut.level2.openings]
    material = {"level1_sigma": stacked(sigmas, size), "level1_offset": stacked(offsets, size)}
    return ServerChunk(pads, [(beta[0], v[0]) for beta, v in level2], material), message


def finish_server(cut: Cut, chunk: ServerChunk, message: Bytes, choices: list[Bytes]) -> None:
    """Take the client's planes of a chunk; ``choices`` are the server's shares of the results, planes."""
    size = 8 * message.shape[1]
    at = 0
    for pads, m in zip(chunk.pads, cut.widths, strict=True):
        pads_shift(pads, message[at : at + m], m)
        at += m
    fixed = dict(zip(cut.level2.fixed, message[at:], strict=False))
    offsets = list(choices)
    for (monomial, (output,)), (beta, v) in zip(cut.level2.openings, chunk.level2, strict=True):
        slot = monomial, output
        offsets[output] = offsets[output] ^ (v ^ (beta & fixed[slot]) if slot in fixed else v)
    chunk.material["level2_mask"] = stacked([beta for beta, _ in chunk.level2], size)
    chunk.material["level2_offset"] = stacked(offsets, size)
    chunk.material["choice"] = stacked(choices, size)


def join_server(cut: Cut, chunks: list[ServerChunk]) -> Material:
    """The material of all chunks."""
    material = joined([chunk.material for chunk in chunks])
    leaves = (
        np.concatenate([chunk.pads[leaf] for chunk in chunks]).astype(_word(cut, leaf)).view(np.uint8)
        for leaf in range(len(cut.widths))
    )
    material["pads"] = np.concatenate(list(leaves))
    return material


def _word(cut: Cut, leaf: int) -> type:
    """The word in which a leaf's table is sent."""
    bits = (1 << cut.widths[leaf]) * (2 if leaf + 1 < len(cut.widths) else 1)
    return np.uint8 if bits <= 8 else np.uint16 if bits == 16 else np.uint32


def _hash_pads(cots: Cots, delta: Blocks, size: int, m: int) -> NDArray[np.uint32]:
    q, tweak = cots.take(m * size)
    return pads_sender(q, delta.tobytes(), tweak, m, 2)


def _sender_bits(cots: Cots, delta: Blocks, size: int, width: int) -> tuple[Bytes, Bytes]:
    q, tweak = cots.take(size)
    return bit_products_sender(q, delta.tobytes(), tweak, width)


def _early_server(group: Merge, cots: Cots, delta: Blocks, size: int, prg: Prg) -> EarlyPart:
    factors: dict[Slot, Bytes] = {}
    parts: dict[Slot, Bytes] = {}
    for monomial, outputs in group.openings:
        beta, v = _sender_bits(cots, delta, size, len(outputs))
        for place, output in enumerate(outputs):
            factors[monomial, output], parts[monomial, output] = beta[place], v[place]
    return early_part(group, factors, parts, random_planes(prg, len(group.variables), size))


def _mask_words(words: NDArray[np.uint32], m: int, less: Bytes, equal: Bytes | None) -> None:
    """Put the server's shares of a leaf's outputs into its pads: all entries of a half carry the same bit."""
    half = np.uint32((1 << (1 << m)) - 1)
    words ^= (0 - as_bits(less, len(words)).astype(np.uint32)) & half
    if equal is not None:
        words ^= ((0 - as_bits(equal, len(words)).astype(np.uint32)) & half) << np.uint32(1 << m)
