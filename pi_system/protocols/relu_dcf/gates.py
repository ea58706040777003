"""Both parties' gates and the dealing function of the comparison-key ReLU, over the compiled kernels."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import CorrelationMismatchError, InvariantError
from pi_system.kernels import ReluGate, pack_bits, packed_bytes, unpack_bits
from pi_system.protocols.gate import GateCost, GateSpec
from pi_system.ring.carrier import RingArray

__all__ = ["DcfRelu"]

Bytes = NDArray[np.uint8]


@lru_cache(maxsize=256)
def _kernel(spec: GateSpec) -> ReluGate:
    return ReluGate(ring_bits=spec.ring_bits, compare_bits=spec.comparison_bits, shift=spec.shift)


class DcfRelu:
    """The protocol: sizes, dealing, and the two parties' gates. Holds no secret."""

    def __init__(self, *, threads: int = 1):
        """``threads``: cores the kernels use."""
        self.threads = threads

    def key_bytes(self, spec: GateSpec) -> int:
        """Bytes of the key, the same for both parties."""
        return _kernel(spec).key_bytes(spec.count)

    def correction_bytes(self, spec: GateSpec) -> int:
        """Bytes that the dealer sends the server besides the key."""
        return _kernel(spec).server_bytes(spec.count)

    def masked_message_bytes(self, spec: GateSpec) -> int:
        """Bytes of the client's offline message to the server."""
        return packed_bytes(spec.count, spec.comparison_bits)

    def masked_bytes(self, spec: GateSpec) -> int:
        """Bytes of what the server keeps of that message."""
        return spec.count * _kernel(spec).mask_dtype.itemsize

    def cost(self, spec: GateSpec) -> GateCost:
        """Declared online cost: K = k - t bits an element down and l up, and 1 each way."""
        opened = packed_bytes(spec.count, 1)
        return GateCost(
            round_trips=1,
            server_to_client_bytes=packed_bytes(spec.count, spec.opened_bits) + opened,
            client_to_server_bytes=packed_bytes(spec.count, spec.ring_bits) + opened,
        )

    def deal(self, spec: GateSpec, seed0: bytes, seed1: bytes, salt: bytes) -> tuple[Bytes, Bytes]:
        """The dealer: (key for both, corrections for the server) from both parties' gate seeds."""
        return _kernel(spec).deal(spec.count, seed0, seed1, salt, threads=self.threads)

    def mask_share(self, spec: GateSpec, seed1: bytes, salt: bytes, share: RingArray) -> Bytes:
        """The client, offline: y_1 + r'_1 mod 2^k, packed, from its share (count,)."""
        kernel = _kernel(spec)
        masked = share.astype(kernel.mask_dtype) + kernel.masks(spec.count, seed1, salt, threads=self.threads)
        packed = np.empty(self.masked_message_bytes(spec), np.uint8)
        pack_bits(masked, spec.comparison_bits, packed)
        return packed

    def receive_masked(self, spec: GateSpec, seed0: bytes, salt: bytes, packed: memoryview) -> RingArray:
        """The server, offline: y_1 + r' mod 2^k from the client's message, ready for the online phase."""
        kernel = _kernel(spec)
        masked = np.empty(spec.count, kernel.mask_dtype)
        unpack_bits(np.frombuffer(packed, np.uint8), spec.comparison_bits, masked)
        masked += kernel.masks(spec.count, seed0, salt, threads=self.threads)
        return masked

    def server_gate(
        self, spec: GateSpec, *, seed: bytes, salt: bytes, key: Bytes, corrections: Bytes, masked: Bytes
    ) -> "DcfServerGate":
        """Party 0's gate with its material."""
        return DcfServerGate(self, spec, seed, salt, key, corrections, masked)

    def client_gate(
        self, spec: GateSpec, *, seed: bytes, salt: bytes, key: Bytes, fresh_mask: RingArray
    ) -> "DcfClientGate":
        """Party 1's gate with its material; ``fresh_mask`` is r."""
        return DcfClientGate(self, spec, seed, salt, key, fresh_mask)


class DcfServerGate:
    """Party 0 (a ServerGate); one use."""

    round_trips = 1

    def __init__(
        self,
        relu: DcfRelu,
        spec: GateSpec,
        seed: bytes,
        salt: bytes,
        key: Bytes,
        corrections: Bytes,
        masked: Bytes,
    ):
        """Check the material's sizes against ``spec``."""
        self._kernel = _kernel(spec)
        self._threads, self._spec = relu.threads, spec
        _check(key, relu.key_bytes(spec))
        _check(corrections, relu.correction_bytes(spec))
        _check(masked, relu.masked_bytes(spec))
        self._seed, self._salt, self._key, self._corrections = seed, salt, key, corrections
        self._masked = masked.view(self._kernel.mask_dtype)
        self._shares: dict[int, RingArray] = {}
        self._states: dict[int, Bytes] = {}
        self._out = np.empty(spec.count, self._kernel.ring_dtype)

    def load(self, first: int, share: RingArray) -> None:
        """Hand in y_0 of a chunk."""
        self._shares[first] = np.ascontiguousarray(share)

    def send(self, exchange: int, first: int, count: int) -> memoryview:
        """X, the high bits of y + r' mod 2^k, and the masked bit of a loaded chunk."""
        message, self._states[first] = self._kernel.server_send(
            self._key,
            self._seed,
            self._salt,
            self._shares.pop(first),
            self._masked[first : first + count],
            first=first,
            threads=self._threads,
        )
        return message.data

    def work(self, exchange: int, first: int, count: int) -> None:
        """Nothing is left to do while the client works: the key was evaluated before the message left."""

    def reply_bytes(self, exchange: int, count: int) -> int:
        """Size of the client's reply."""
        return self._kernel.client_message_bytes(count)

    def receive(self, exchange: int, first: int, count: int, reply: memoryview) -> None:
        """Finish a chunk."""
        self._kernel.server_finish(
            self._corrections,
            self._states.pop(first),
            reply,
            self._out[first : first + count],
            first=first,
            threads=self._threads,
        )

    def result(self) -> RingArray:
        """D of all elements."""
        if self._states or self._shares:
            raise InvariantError("gate: expected every chunk finished before its result is read")
        return self._out


class DcfClientGate:
    """Party 1 (a ClientGate); one use."""

    round_trips = 1

    def __init__(self, relu: DcfRelu, spec: GateSpec, seed: bytes, salt: bytes, key: Bytes, fresh_mask: RingArray):
        """Check the material's sizes against ``spec``."""
        self._kernel = _kernel(spec)
        self._threads = relu.threads
        _check(key, relu.key_bytes(spec))
        self._seed, self._salt, self._key, self._fresh_mask = seed, salt, key, fresh_mask

    def message_bytes(self, exchange: int, count: int) -> int:
        """Size of the server's message."""
        return self._kernel.server_message_bytes(count)

    def reply(self, exchange: int, first: int, count: int, message: memoryview) -> memoryview:
        """Evaluate the key on a chunk and answer."""
        answer = self._kernel.client_reply(
            self._key,
            self._seed,
            self._salt,
            message,
            self._fresh_mask[first : first + count],
            first=first,
            threads=self._threads,
        )
        return answer.data


def _check(section: Bytes, expected: int) -> None:
    if section.nbytes != expected:
        raise CorrelationMismatchError(f"gate material: expected {expected} bytes, found {section.nbytes}")
