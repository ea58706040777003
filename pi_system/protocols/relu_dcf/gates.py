"""Both parties' steps and the dealing function of the comparison-key ReLU, over the compiled kernels."""

from functools import lru_cache

import numpy as np

from pi_system.kernels import ReluGate, pack_bits, packed_bytes, unpack_bits
from pi_system.kernels.packing import Bytes
from pi_system.protocols.dealt import Received, Sent
from pi_system.protocols.gate import GateSpec, GateWork, Units
from pi_system.protocols.half import Readable
from pi_system.protocols.material import Material, Shapes
from pi_system.protocols.phases import ServerSteps
from pi_system.ring.carrier import RingArray


@lru_cache(maxsize=256)
def kernel_of(spec: GateSpec, *, stored: bool = False) -> ReluGate:
    """The kernel of dealt keys; ``stored``: of what the two parties made (``relu_table``)."""
    return ReluGate(
        ring_bits=spec.ring_bits,
        comparison_bits=spec.comparison_bits,
        shift=spec.shift,
        unseen_bits=spec.unseen_bits,
        stored=stored,
    )


def message_bytes(spec: GateSpec, exchange: int, count: int) -> int:
    """Declared size of the server's message: K bits an element, n more where it does not compare all of them, and 1."""
    sign = packed_bytes(count, spec.compared_bits) if spec.unseen_bits else 0
    return packed_bytes(count, spec.opened_bits) + sign + packed_bytes(count, 1)


def reply_bytes(spec: GateSpec, exchange: int, count: int) -> int:
    """Declared size of the client's reply: l bits an element and 1."""
    return packed_bytes(count, spec.ring_bits) + packed_bytes(count, 1)


@lru_cache
def server_shapes(spec: GateSpec, *, stored: bool = False) -> Shapes:
    """The arrays of the server's material: key, corrections, y_1 + r' mod 2^k."""
    kernel, count = kernel_of(spec, stored=stored), spec.count
    return {
        "key": ((kernel.key_bytes(count),), np.uint8),
        "corrections": ((kernel.server_bytes(count),), np.uint8),
        "masked": ((count,), kernel.mask_dtype.type),
    }


@lru_cache
def client_shapes(spec: GateSpec, *, stored: bool = False) -> Shapes:
    """The arrays of the client's material: the key, the same as the server's; of a dealt table nothing."""
    return {"key": ((kernel_of(spec, stored=stored).key_bytes(spec.count, 1),), np.uint8)}


def _client_has_key(spec: GateSpec) -> bool:
    return client_shapes(spec)["key"][0][0] > 0


def masked_message_bytes(spec: GateSpec) -> int:
    """Bytes of the client's offline message to the server."""
    return packed_bytes(spec.count, spec.comparison_bits)


def dealt_bytes(spec: GateSpec) -> tuple[tuple[int, int], tuple[int, ...]]:
    """Sizes of the dealer's messages: key and corrections for the server, the key for the client if it has one."""
    key, corrections = (server_shapes(spec)[name][0][0] for name in ("key", "corrections"))
    return (key, corrections), (key,) if _client_has_key(spec) else ()


def deal(spec: GateSpec, seed0: bytes, seed1: bytes, salt: bytes) -> tuple[Sent, Sent]:
    """The dealer, from both parties' gate seeds."""
    key, corrections = kernel_of(spec).deal(spec.count, seed0, seed1, salt)
    return (key.data, corrections.data), (key.data,) if _client_has_key(spec) else ()


def client_offline(
    spec: GateSpec, seed1: bytes, salt: bytes, share: RingArray, fresh_mask: RingArray, dealt: Received
) -> tuple[Material, Readable]:
    """The client: its key to keep, and its masked share for the server."""
    key = np.frombuffer(dealt[0], np.uint8) if _client_has_key(spec) else np.empty(0, np.uint8)
    return {"key": key}, mask_share(spec, seed1, salt, share).data


def server_offline(spec: GateSpec, seed0: bytes, salt: bytes, dealt: Received, message: memoryview) -> Material:
    """The server: key, corrections and the client's masked share under its own summand of the mask, too."""
    key, corrections = (np.frombuffer(data, np.uint8) for data in dealt)
    return {
        "key": key,
        "corrections": corrections,
        "masked": receive_masked(spec, seed0, salt, message),
    }


def mask_share(spec: GateSpec, seed1: bytes, salt: bytes, share: RingArray) -> Bytes:
    """The client's message: y_1 + r'_1 mod 2^k, packed, from its share (count,)."""
    kernel = kernel_of(spec)
    masked = share.astype(kernel.mask_dtype) + kernel.masks(spec.count, seed1, salt)
    packed = np.empty(masked_message_bytes(spec), np.uint8)
    pack_bits(masked, spec.comparison_bits, packed)
    return packed


def receive_masked(spec: GateSpec, seed0: bytes, salt: bytes, packed: memoryview) -> RingArray:
    """Of that message y_1 + r' mod 2^k, ready for the online phase."""
    kernel = kernel_of(spec)
    masked = np.empty(spec.count, kernel.mask_dtype)
    unpack_bits(np.frombuffer(packed, np.uint8), spec.comparison_bits, masked)
    masked += kernel.masks(spec.count, seed0, salt)
    return masked


class DcfServer(ServerSteps):
    """Party 0. Material: see ``server_shapes``; besides its gate seed and the gate's salt."""

    def __init__(self, spec: GateSpec, material: Material, *, stored: bool = False):
        """``stored``: see ``kernel_of``."""
        super().__init__(spec)
        self._kernel, self._material = kernel_of(spec, stored=stored), material
        self._seed, self._salt = material["seed"].tobytes(), material["salt"].tobytes()
        self._states: dict[int, Bytes] = {}

    def send(self, exchange: int, first: int, count: int) -> memoryview:
        """X, the high bits of y + r' mod 2^k, those the comparison sees, and the masked bit of a loaded chunk."""
        key, masked, share = self._material["key"], self._material["masked"], self._shares.pop(first)
        message, self._states[first] = self._kernel.server_send(
            key, self._seed, self._salt, share, masked[first : first + count], first=first
        )
        return message.data

    def receive(self, exchange: int, first: int, count: int, reply: memoryview) -> None:
        """Finish a chunk."""
        state, out = self._states.pop(first), self._out[first : first + count]
        self._kernel.server_finish(self._material["corrections"], state, reply, out, first=first)


class DcfClient:
    """Party 1. Material: see ``client_shapes``; besides its gate seed, the gate's salt and r ("mask")."""

    def __init__(self, spec: GateSpec, material: Material, *, stored: bool = False):
        """See DcfServer."""
        self._kernel, self._material = kernel_of(spec, stored=stored), material
        self._seed, self._salt = material["seed"].tobytes(), material["salt"].tobytes()

    def reply(self, exchange: int, first: int, count: int, message: memoryview) -> memoryview:
        """Evaluate the key on a chunk and answer."""
        key, mask = self._material["key"], self._material["mask"][first : first + count]
        return self._kernel.client_reply(key, self._seed, self._salt, message, mask, first=first).data


def work(spec: GateSpec, count: int) -> GateWork:
    """Both evaluate the key, level by level (``fss_level``: bits compared), and touch every element once.

    Of a table the client makes its share, about as much as one level, and the server reads a bit.
    """
    call = {"fss_call": 1, "fss_level": _levels(spec) * count}
    level = call if _client_has_key(spec) else {"fss_call": 1, "fss_level": 0}
    reply, receive = {**call, "fss_element": count}, {"fss_call": 1, "fss_element": count}
    return {"send": level, "work": {}, "reply": reply, "receive": receive}


def prepared(spec: GateSpec) -> Units:
    """Elements times the bits a key compares; a table is about as much as one level."""
    return {"dealt_level": _levels(spec) * spec.count}


def _levels(spec: GateSpec) -> int:
    return spec.compared_bits if _client_has_key(spec) else 1
