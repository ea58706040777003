"""The comparison tree online: two messages of the server and one of the client between them, as pure functions.

Functionality: for x = x_0 + x_1 mod 2^k, XOR shares of b = [x >= 0] and, if the cut drops t low bits, of the carry
               c = [(x_0 mod 2^t) + (x_1 mod 2^t) >= 2^t]. The server's shares are bits of its material ("choice"),
               the client's come out at the end.
Online:   1. server -> client: ``tables`` of masked (less, equal) bits at the leaves.
          2. client -> server: ``answer``, level 1, products of up to three bits (merge.py): masked bits, one way.
          3. server -> client: ``last``, level 2, likewise.
The rest is as for the ReLU ``gmw`` (see the package). Material: the arrays of ``server_tree_shapes`` and
``client_tree_shapes``; elements, or their bits, are the last axis of every array.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.kernels.gmw import gmw_select, gmw_tables
from pi_system.kernels.packing import Bytes
from pi_system.protocols.material import Material, Shapes
from pi_system.protocols.relu_gmw.cut import Cut
from pi_system.protocols.relu_gmw.merge import Merge, Planes, Variable


def server_tree_shapes(cut: Cut, n: int) -> Shapes:
    """The arrays of the server's material for ``n`` elements, whole blocks."""
    planes = {
        "level1_sigma": sum(len(group.coefficients) for group in cut.level1),
        "level1_offset": sum(group.outputs for group in cut.level1),
        "level2_mask": len(cut.level2.openings),
        "level2_offset": cut.level2.outputs,
        "choice": cut.level2.outputs,
    }
    return _plane_shapes(planes, n) | {"pads": ((n * cut.word_bytes,), np.uint8)}


def client_tree_shapes(cut: Cut, n: int) -> Shapes:
    """The arrays of the client's material for ``n`` elements, whole blocks."""
    leaves = len(cut.widths)
    planes = {
        "less": leaves,
        "equal": leaves - 1,
        "level1_mask": sum(len(group.openings) for group in cut.level1),
        "level1_offset": sum(group.outputs for group in cut.level1),
        "level2_sigma": len(cut.level2.coefficients),
        "level2_offset": cut.level2.outputs,
    }
    return _plane_shapes(planes, n) | {"choices": ((leaves, n), np.uint8)}


def _plane_shapes(counts: dict[str, int], n: int) -> dict[str, tuple[tuple[int, ...], type]]:
    return {name: ((count, n // 8), np.uint8) for name, count in counts.items()}


def part(material: Material, name: str, first: int, count: int) -> NDArray[Any]:
    """Elements of an array of the material."""
    return material[name][..., first : first + count]


def planes_of(material: Material, name: str, first: int, count: int) -> Bytes:
    """Planes of the material."""
    return material[name][..., first // 8 : first // 8 + (count + 7) // 8]


def _inputs(group: Merge, less: Planes, equal: Planes) -> dict[Variable, Bytes]:
    """Shares of a merge's inputs by name."""
    values = (*less[: group.size], *equal[: len(group.variables) - group.size])
    return dict(zip(group.variables, values, strict=True))


def _rows(data: Bytes, count: int) -> Bytes:
    """A message of planes, one a row."""
    return data.reshape(-1, (count + 7) // 8)


class ServerTree:
    """Party 0's part."""

    def __init__(self, cut: Cut, material: Material):
        """Take over the material of ``offline_tree_server``."""
        self._cut, self._material = cut, material

    def tables(self, share: NDArray[Any], first: int) -> Bytes:
        """Message 1 for the elements ``share`` (n,) = x_0, the first of which is element ``first``."""
        return gmw_tables(self._cut.widths, self._cut.bits, share, self._material["pads"], first)

    def level1(self, data: Bytes, first: int, count: int) -> dict[Variable, Bytes]:
        """The server's shares of the groups' results, by level 2's names, from message 2."""
        message = _rows(data, count)
        sigma, offset = (planes_of(self._material, f"level1_{name}", first, count) for name in ("sigma", "offset"))
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

    def last(self, late: dict[Variable, Bytes], first: int, count: int) -> Bytes:
        """Message 3 from what ``level1`` gave."""
        masks, offsets = (planes_of(self._material, f"level2_{name}", first, count) for name in ("mask", "offset"))
        return np.stack(self._cut.level2.late_message(late, masks, offsets)).reshape(-1)


class ClientTree:
    """Party 1's part."""

    def __init__(self, cut: Cut, material: Material):
        """Take over the material of ``offline_tree_client``."""
        self._cut, self._material = cut, material

    def answer(self, words: Bytes, first: int, count: int) -> Bytes:
        """Message 2 from message 1: read the leaves and merge the groups."""
        cut = self._cut
        less, equal = gmw_select(cut.widths, cut.bits, words, self._material["choices"], first, count)
        less ^= planes_of(self._material, "less", first, count)
        equal ^= planes_of(self._material, "equal", first, count)
        masks, offsets = (planes_of(self._material, f"level1_{name}", first, count) for name in ("mask", "offset"))
        planes: list[Bytes] = []
        at = mask = output = 0
        for group in cut.level1:
            end = mask + len(group.openings)
            late = _inputs(group, less[at:], equal[at:])
            planes += group.late_message(late, masks[mask:end], offsets[output:])
            at, mask, output = at + group.size, end, output + group.outputs
        return np.stack(planes).reshape(-1)

    def result(self, data: Bytes, first: int, count: int) -> list[Bytes]:
        """The client's shares, planes of b and, where low bits are dropped, of c, from message 3."""
        sigma, offset = (planes_of(self._material, f"level2_{name}", first, count) for name in ("sigma", "offset"))
        sigmas = dict(zip(self._cut.level2.coefficients, sigma, strict=True))
        return self._cut.level2.early_outputs(_rows(data, count), sigmas, offset)
