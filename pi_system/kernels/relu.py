"""ReLU with truncation from one comparison key, for a batch, over additive shares mod 2^l.

Functionality: D' = max(0, R(x / 2^t)) - r_next at the server, for x = y_0 + y_1 mod 2^l and r_next chosen by the
          client; R rounds to a neighbour: up with probability (x mod 2^t) / 2^t, by a coin neither party knows.
Inputs:   y_0 at the server, online; y_1 and r_next at the client, known offline. All (n,), ring_bits = l.
Outputs:  D' (n,), ring_bits = l, at the server; the client's share of the output is r_next.
Offline:  dealer: ``deal``; ``key`` (the same bytes) to both parties, ``server blob`` and seed 0 to the server, seed 1
          to the client. Client: sends y_1 + r'_1 mod 2^k; server keeps ``masked`` = that + r'_0 mod 2^k.
          r'_b = ``masks(seed_b)``.
Online:   1. server -> client: X = (x + r' mod 2^k) >> t, K = k - t bits each; then e_0, 1 bit each.
          2. client -> server: its output share - r_next, l bits each; then e_1, 1 bit each.
Cost:     rounds = 1 round trip; bits = K + l + 2 each. The server evaluates its key before it sends.
Error:    |D' + r_next - max(0, x / 2^t)| < 1 for |x| < 2^(k-1) - 2^t, unbiased but where rounding meets zero, and 0
          for t = 0; undefined and not detected outside.
Security: semi-honest, one corrupted party, trusted dealer. The client sees the high K bits of a uniform value; the low
          t bits of r', the coin, are uniform given everything it knows (a truncation pair). Seeds of the key's
          nodes have 125 bits, and AES under a public key is taken for a random permutation (Guo et al., eprint
          2019/074). A fresh public key for each 32 instances keeps attacks on many seeds at once (eprint 2019/1168)
          at about 2^115 AES calls. A (seed, salt) pair serves one ``deal`` only.
Source:   Boyle et al., EUROCRYPT 2021, eprint 2020/1392 (comparison key, figure 1); LLAMA 2022/793 and Orca 2023/206
          (ReLU with truncation); truncation pairs: ABY3, eprint 2018/403. Different here: one AES call a level, flags
          inside the node's block, a 256-bit leaf table, roots and masks from a seed; truncation before comparison.

Instances are processed in blocks of ``RELU_BLOCK`` = 32. ``key`` and ``server blob`` hold the whole layer block by
block; a call on the sub-range that starts at ``first`` (a multiple of 32) gets the whole blobs, and the other arrays
for the sub-range alone. Chunked calls give the same results as one call over everything.

    key      per block, max(K - 9, 0) levels of 32 x 16 bytes, then 2 x 32 x 16 bytes of leaf table
    server   per block, 5 rows of 32 elements; an element has 4 bytes if l <= 32, else 8
    message  packed values of the sub-range (``pack_bits``), then packed bits
"""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import pi_system.kernels._native as _native
from pi_system.errors import ConfigError, RemoteProtocolError

RELU_BLOCK: int = _native.RELU_BLOCK

Bytes: TypeAlias = npt.NDArray[np.uint8]
BytesLike: TypeAlias = bytes | bytearray | memoryview | Bytes
Elements: TypeAlias = npt.NDArray[np.uint32] | npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReluGate:
    """The gate for one choice of parameters; holds no secret and no state.

    Attributes:
        ring_bits: l, 2 to 64.
        compare_bits: k, 2 to l; inputs satisfy |x| < 2^(k-1) - 2^t (2^(k-1) for t = 0).
        shift: t, 0 to k - 2, the bits that the output is truncated by.

    Raises:
        ConfigError: a parameter is out of range.
    """

    ring_bits: int
    compare_bits: int
    shift: int
    _kernel: _native.ReluGate = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the parameters."""
        try:
            gate = _native.ReluGate(self.ring_bits, self.compare_bits, self.shift)
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
        return np.dtype(np.uint32 if self.compare_bits <= 32 else np.uint64)

    def key_bytes(self, count: int) -> int:
        """Size of the key of ``count`` instances; both parties get the same bytes."""
        return self._kernel.key_bytes(count)

    def server_bytes(self, count: int) -> int:
        """Size of the server blob of ``count`` instances."""
        return self._kernel.server_bytes(count)

    def server_message_bytes(self, count: int) -> int:
        """Size of the server's message about ``count`` instances."""
        return self._kernel.server_message_bytes(count)

    def client_message_bytes(self, count: int) -> int:
        """Size of the client's message about ``count`` instances."""
        return self._kernel.client_message_bytes(count)

    def deal(
        self, count: int, seed0: bytes, seed1: bytes, salt: bytes, *, first: int = 0, threads: int = 1
    ) -> tuple[Bytes, Bytes]:
        """Make the key and the server blob of instances ``first`` .. ``first + count - 1`` (dealer).

        Args:
            count: how many instances.
            seed0: the server's 16 secret bytes.
            seed1: the client's 16 secret bytes.
            salt: 16 public bytes; with a fresh salt a party's seed may serve another layer.
            first: where this part starts in the layer, a multiple of 32; parts are concatenated by the caller.
            threads: cores to use.

        Returns:
            The key (for both) and the server blob (for the server only).
        """
        key = np.empty(self.key_bytes(count), np.uint8)
        server = np.empty(self.server_bytes(count), np.uint8)
        self._kernel.deal(first, count, seed0, seed1, salt, key, server, threads)
        return key, server

    def masks(self, count: int, seed: bytes, salt: bytes, *, first: int = 0, threads: int = 1) -> Elements:
        """Return a party's summand r'_b of the mask r', (count,), in Z_2^k, carrier ``mask_dtype``."""
        out: Elements = np.empty(count, self.mask_dtype)
        self._kernel.masks(seed, salt, first, out, threads)
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
        threads: int = 1,
    ) -> tuple[Bytes, Bytes]:
        """Step 1 of the server: X and e_0 of instances ``first`` .. ``first + share.size - 1``.

        Args:
            key: key of the layer.
            seed0: the server's seed.
            salt: as dealt.
            share: y_0, (count,), carrier ``ring_dtype``.
            masked: y_1 + r'_1 + r'_0 mod 2^k (higher bits are ignored), (count,), carrier ``mask_dtype``.
            first: start of the sub-range, a multiple of 32.
            threads: cores to use.

        Returns:
            The message to the client, and the state for ``server_finish``.
        """
        message = np.empty(self.server_message_bytes(share.size), np.uint8)
        state = np.empty(self._kernel.state_bytes(share.size), np.uint8)
        self._kernel.server_send(_view(key), seed0, salt, share, masked, first, message, state, threads)
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
        threads: int = 1,
    ) -> Bytes:
        """Step 2, the client's: evaluate its key and answer.

        Args:
            key: key of the layer.
            seed1: the client's seed.
            salt: as dealt.
            message: from the server, about ``next_mask.size`` instances.
            next_mask: r_next, (count,), carrier ``ring_dtype``; its size says how many instances there are.
            first: start of the sub-range, a multiple of 32.
            threads: cores to use.

        Returns:
            The message to the server.

        Raises:
            RemoteProtocolError: the message has another length than the sub-range asks for.
        """
        incoming = _received(message, self.server_message_bytes(next_mask.size))
        reply = np.empty(self.client_message_bytes(next_mask.size), np.uint8)
        self._kernel.client_reply(_view(key), seed1, salt, incoming, next_mask, first, reply, threads)
        return reply

    def server_finish(
        self,
        server: BytesLike,
        state: Bytes,
        reply: BytesLike,
        out: Elements,
        *,
        first: int = 0,
        threads: int = 1,
    ) -> None:
        """Last step of the server: write D' mod 2^l.

        Args:
            server: server blob of the layer.
            state: from ``server_send``.
            reply: from the client, about ``out.size`` instances.
            out: (count,), carrier ``ring_dtype``, written.
            first: start of the sub-range, a multiple of 32.
            threads: cores to use.

        Raises:
            RemoteProtocolError: the reply has another length than the sub-range asks for.
        """
        incoming = _received(reply, self.client_message_bytes(out.size))
        self._kernel.server_finish(_view(server), state, incoming, first, out, threads)


def _view(data: BytesLike) -> Bytes:
    return np.frombuffer(data, np.uint8)


def _received(data: BytesLike, expected: int) -> Bytes:
    view = _view(data)
    if view.size != expected:
        raise RemoteProtocolError(f"ReLU message: expected {expected} bytes, found {view.size}")
    return view
