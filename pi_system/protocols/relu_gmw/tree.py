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

    def level1(self, data: Bytes, first: int, count: int) -> Bytes:
        """The server's shares of the groups' results, rows for level 2, from message 2."""
        below, above = self._cut.levels
        message = _rows(data, count)
        sigma, offset = (planes_of(self._material, f"level1_{name}", first, count) for name in ("sigma", "offset"))
        late = above.rows(message.shape[1])
        below.early(message, sigma, offset, late[: below.outputs])
        return late

    def last(self, late: Bytes, first: int, count: int) -> Bytes:
        """Message 3 from what ``level1`` gave."""
        masks, offsets = (planes_of(self._material, f"level2_{name}", first, count) for name in ("mask", "offset"))
        return self._cut.levels[1].late(late, masks, offsets).reshape(-1)


class ClientTree:
    """Party 1's part."""

    def __init__(self, cut: Cut, material: Material):
        """Take over the material of ``offline_tree_client``."""
        self._cut, self._material = cut, material

    def answer(self, words: Bytes, first: int, count: int) -> Bytes:
        """Message 2 from message 1: read the leaves and merge the groups."""
        cut, level = self._cut, self._cut.levels[0]
        less, equal = gmw_select(cut.widths, cut.bits, words, self._material["choices"], first, count)
        late = level.rows(less.shape[1])
        np.bitwise_xor(less, planes_of(self._material, "less", first, count), out=late[: level.pairs])
        np.bitwise_xor(equal, planes_of(self._material, "equal", first, count), out=late[level.pairs : level.inputs])
        masks, offsets = (planes_of(self._material, f"level1_{name}", first, count) for name in ("mask", "offset"))
        return level.late(late, masks, offsets).reshape(-1)

    def result(self, data: Bytes, first: int, count: int) -> Bytes:
        """The client's shares, planes of b and, where low bits are dropped, of c, from message 3."""
        message, level = _rows(data, count), self._cut.levels[1]
        sigma, offset = (planes_of(self._material, f"level2_{name}", first, count) for name in ("sigma", "offset"))
        shares = np.empty((level.outputs, message.shape[1]), np.uint8)
        level.early(message, sigma, offset, shares)
        return shares
