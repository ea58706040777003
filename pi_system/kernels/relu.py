"""The compiled steps of the ReLU ``relu_dcf``, for a batch; protocols/relu_dcf says what they compute, and its letters.

All are for ring_bits = l, comparison_bits = k, shift = t and unseen_bits = g. Instances are processed in blocks of
``RELU_BLOCK`` = 32.
``key`` and ``server blob`` hold the whole layer block by block; a call on the sub-range that starts at ``first`` (a
multiple of 32) gets the whole blobs, and the other arrays for the sub-range alone. Chunked calls give the same results
as one call over everything. Arrays that do not fit are a ValueError.

    key      per block, max(n - 9, 0) levels of 32 x 16 bytes, then 2 x 32 x 16 bytes of leaf table; where n <= 8 a
             table of 2^(n-1) x 32 bits for the server, and nothing for the client, whose table comes from its seed;
             of a stored gate (n <= 10) such a table for each, then the server's 32 offsets d (none where g = 0), the
             client's 5 rows as in the server blob; seeds and salt count for nothing there
    server   per block, 5 rows of 32 elements; an element has 4 bytes if l <= 32, else 8
    message  packed values of the sub-range (``pack_bits``), then packed bits
"""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import pi_system.kernels._native as _native
from pi_system.errors import ConfigError
from pi_system.kernels.packing import Bytes

RELU_BLOCK: int = _native.RELU_BLOCK

BytesLike: TypeAlias = bytes | bytearray | memoryview | Bytes
Elements: TypeAlias = npt.NDArray[np.uint32] | npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReluGate:
    """The gate for one choice of parameters; holds no secret and no state.

    Attributes:
        ring_bits: l, 2 to 64.
        comparison_bits: k, 2 to l; inputs satisfy |x| < 2^(k-1) - 2^(t+g) (2^(k-1) for t = g = 0).
        shift: t, 0 to k - 2, the bits that the output is truncated by.
        unseen_bits: g, 0 to k - t - 2, of the K = k - t bits that are left those that the comparison does not see.
        stored: all that a party holds is in its key; made by the two parties, never dealt.

    Raises:
        ConfigError: a parameter is out of range.
    """

    ring_bits: int
    comparison_bits: int
    shift: int
    unseen_bits: int = 0
    stored: bool = False
    _kernel: _native.ReluGate = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the parameters."""
        try:
            gate = _native.ReluGate(self.ring_bits, self.comparison_bits, self.shift, self.unseen_bits, self.stored)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        object.__setattr__(self, "_kernel", gate)

    @property
    def ring_dtype(self) -> np.dtype[Any]:
        """Carrier of ring elements: uint32 if l <= 32, else uint64."""
        return np.dtype(np.uint32 if self.ring_bits <= 32 else np.uint64)

    @property
    def mask_dtype(self) -> np.dtype[Any]:
        """Carrier of masked values and masks: uint32 if k <= 32, else uint64."""
        return np.dtype(np.uint32 if self.comparison_bits <= 32 else np.uint64)

    def key_bytes(self, count: int, party: int = 0) -> int:
        """Size of the key of ``count`` instances; with a dealer the client gets the server's bytes or none."""
        return self._kernel.key_bytes(party, count)

    def server_bytes(self, count: int) -> int:
        """Size of the server blob of ``count`` instances."""
        return self._kernel.server_bytes(count)

    def deal(self, count: int, seed0: bytes, seed1: bytes, salt: bytes) -> tuple[Bytes, Bytes]:
        """Make the key and the server blob of a layer (dealer).

        Args:
            count: how many instances.
            seed0: the server's 16 secret bytes.
            seed1: the client's 16 secret bytes.
            salt: 16 public bytes; with a fresh salt a party's seed may serve another layer.

        Returns:
            The key (for the server; for the client, too, where it has one) and the server blob (for the server only).
        """
        key = np.empty(self.key_bytes(count), np.uint8)
        server = np.empty(self.server_bytes(count), np.uint8)
        self._kernel.deal(0, count, seed0, seed1, salt, key, server)
        return key, server

    def masks(self, count: int, seed: bytes, salt: bytes) -> Elements:
        """Return a party's summand r'_b of the mask r', (count,), in Z_2^k, carrier ``mask_dtype``."""
        out: Elements = np.empty(count, self.mask_dtype)
        self._kernel.masks(seed, salt, 0, out)
        return out

    def server_send(
        self,
        key: BytesLike,
        seed0: bytes,
        salt: bytes,
        share: Elements,
        masked: Elements,
        *,
        first: int = 0,
    ) -> tuple[Bytes, Bytes]:
        """Step 1 of the server: X, C where g > 0, and e_0 of instances ``first`` .. ``first + share.size - 1``.

        Args:
            key: key of the layer.
            seed0: the server's seed.
            salt: as dealt.
            share: y_0, (count,), carrier ``ring_dtype``.
            masked: y_1 + r'_1 + r'_0 mod 2^k (higher bits are ignored), (count,), carrier ``mask_dtype``.
            first: start of the sub-range, a multiple of 32.

        Returns:
            The message to the client, and the state for ``server_finish``.
        """
        message = np.empty(self._kernel.server_message_bytes(share.size), np.uint8)
        state = np.empty(self._kernel.state_bytes(share.size), np.uint8)
        self._kernel.server_send(_view(key), seed0, salt, share, masked, first, message, state)
        return message, state

    def client_reply(
        self,
        key: BytesLike,
        seed1: bytes,
        salt: bytes,
        message: BytesLike,
        next_mask: Elements,
        *,
        first: int = 0,
    ) -> Bytes:
        """Step 2, the client's: evaluate its key and answer.

        Args:
            key: key of the layer.
            seed1: the client's seed.
            salt: as dealt.
            message: from the server, about ``next_mask.size`` instances.
            next_mask: r_next, (count,), carrier ``ring_dtype``; its size says how many instances there are.
            first: start of the sub-range, a multiple of 32.

        Returns:
            The message to the server.
        """
        reply = np.empty(self._kernel.client_message_bytes(next_mask.size), np.uint8)
        self._kernel.client_reply(_view(key), seed1, salt, _view(message), next_mask, first, reply)
        return reply

    def server_finish(
        self,
        server: BytesLike,
        state: Bytes,
        reply: BytesLike,
        out: Elements,
        *,
        first: int = 0,
    ) -> None:
        """Last step of the server: write D' mod 2^l.

        Args:
            server: server blob of the layer.
            state: from ``server_send``.
            reply: from the client, about ``out.size`` instances.
            out: (count,), carrier ``ring_dtype``, written.
            first: start of the sub-range, a multiple of 32.
        """
        self._kernel.server_finish(_view(server), state, _view(reply), first, out)


def _view(data: BytesLike) -> Bytes:
    return np.frombuffer(data, np.uint8)
