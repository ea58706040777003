"""Base OTs on edwards25519: n random pairs of 16-byte seeds at the sender, one of each pair at the receiver.

The sender sends A = a G; for choice c the receiver sends R = x G + c A and keeps H(x A); the sender keeps H(a R) and
H(a R - a A). Group operations are libsodium's, through PyNaCl: constant time, and points are checked.
Source: Chou and Orlandi, The simplest protocol for oblivious transfer, eprint 2015/267, semi-honest use.
"""

import hashlib
from collections.abc import Callable

import numpy as np
from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_scalar_reduce,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import CryptoError
from numpy.typing import NDArray

from pi_system.errors import RemoteProtocolError
from pi_system.kernels.ot import Blocks
from pi_system.protocols.half import Half, Send, receive
from pi_system.protocols.ot.base import blocks_from
from pi_system.ring.prg import Prg

_POINT_BYTES = 32


class BaseOtSender:
    """Gets pairs of seeds. ``point``, A of 32 bytes, goes to the receiver first."""

    def __init__(self, prg: Prg):
        """Draw the secret scalar."""
        self._scalar = _scalar(prg)
        self.point = crypto_scalarmult_ed25519_base_noclamp(self._scalar)

    def finish(self, count: int) -> Half[tuple[Blocks, Blocks]]:
        """Receive ``count`` points; return the seeds for choices 0 and 1. Raises RemoteProtocolError."""
        points = _points(bytes((yield from receive(count * _POINT_BYTES))))
        square = crypto_scalarmult_ed25519_noclamp(self._scalar, self.point)
        zero, one = [], []
        for index, point in enumerate(points):
            shared = _point(crypto_scalarmult_ed25519_noclamp, self._scalar, point)
            zero.append(_seed(self.point, point, index, shared))
            one.append(_seed(self.point, point, index, _point(crypto_core_ed25519_sub, shared, square)))
        return blocks_from(b"".join(zero)), blocks_from(b"".join(one))


class BaseOtReceiver:
    """Gets one seed a pair."""

    def __init__(self, choices: NDArray[np.uint8], prg: Prg):
        """``choices``: secret bits, (n,)."""
        self._choices, self._prg = choices, prg

    def run(self) -> Half[Blocks]:
        """Receive A, send the points (32 n bytes), return the chosen seeds. Raises RemoteProtocolError."""
        peer = bytes((yield from receive(_POINT_BYTES)))
        points, seeds = [], []
        for index, choice in enumerate(self._choices):
            scalar = _scalar(self._prg)
            mine = crypto_scalarmult_ed25519_base_noclamp(scalar)
            other = _point(crypto_core_ed25519_add, mine, peer)  # computed in any case: the time tells no choice
            point = (mine, other)[int(choice)]
            points.append(point)
            seeds.append(_seed(peer, point, index, _point(crypto_scalarmult_ed25519_noclamp, scalar, peer)))
        yield Send(b"".join(points))
        return blocks_from(b"".join(seeds))


def _scalar(prg: Prg) -> bytes:
    """A uniform scalar modulo the group order."""
    return bytes(crypto_core_ed25519_scalar_reduce(prg.bytes(64)))


def _points(data: bytes) -> list[bytes]:
    return [data[i : i + _POINT_BYTES] for i in range(0, len(data), _POINT_BYTES)]


def _seed(sender_point: bytes, receiver_point: bytes, index: int, shared: bytes) -> bytes:
    """The random oracle: one seed for this pair of messages, position and shared point."""
    text = b"pi-base-ot" + index.to_bytes(4, "little") + sender_point + receiver_point + shared
    return hashlib.sha256(text).digest()[:16]


def _point(operation: Callable[[bytes, bytes], bytes], left: bytes, right: bytes) -> bytes:
    """The result of a group operation on what a peer sent."""
    try:
        return bytes(operation(left, right))
    except CryptoError:
        raise RemoteProtocolError("base OT: expected a point of the prime-order group, found another") from None
