"""What both parties' offline phases share: chunks, and the early party's part of a merge."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pi_system.kernels.packing import Bytes
from pi_system.protocols.half import Half, Send, receive_array
from pi_system.protocols.material import Material, blocks
from pi_system.protocols.relu_gmw.merge import Merge, Slot
from pi_system.ring.prg import Prg

_CHUNK = 4096  # elements; their COTs, about 3 MB, mostly stay in the second-level cache


def chunks(count: int) -> Iterator[tuple[int, int]]:
    """(first, size) of whole blocks."""
    return blocks(count, _CHUNK)


def joined(parts: list[Material]) -> Material:
    """Chunks put together: elements, or their bits, are the last axis of every array."""
    return {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}


def random_planes(prg: Prg, count: int, size: int) -> list[Bytes]:
    """``count`` random planes of ``size`` bits."""
    planes = np.empty((count, size // 8), np.uint8)
    prg.into(planes)
    return list(planes)


def send_planes(planes: list[Bytes]) -> Half[None]:
    """One message, none for no planes."""
    if planes:
        yield Send(np.stack(planes).tobytes())


def receive_planes(count: int, size: int) -> Half[Iterator[Bytes]]:
    """What ``send_planes`` sent: ``count`` planes of ``size`` bits. Raises RemoteProtocolError."""
    return iter((yield from receive_array((count, size // 8), np.uint8)) if count else ())


def stacked(planes: list[Bytes], size: int) -> Bytes:
    """Planes of ``size`` bits as rows, which may be none."""
    return np.stack(planes) if planes else np.empty((0, size // 8), np.uint8)


@dataclass(slots=True)
class EarlyPart:
    """The early party's part of one merge: shares of its inputs, coefficients, and what it must send."""

    inputs: list[tuple[Bytes, Bytes | None]]
    sigmas: list[Bytes]
    offsets: list[Bytes]
    message: list[Bytes]


def early_part(group: Merge, factors: dict[Slot, Bytes], parts: dict[Slot, Bytes], fresh: list[Bytes]) -> EarlyPart:
    """Define the inputs from the random ``factors``; ``parts`` are the v of the products."""
    s = group.early_inputs(factors, fresh)
    sigmas = {slot: group.sigma(s, slot) for slot in group.coefficients}
    offsets = [group.alone(s, output) for output in range(group.outputs)]
    for (_, output), part in parts.items():
        offsets[output] = offsets[output] ^ part
    inputs = [(s["l", i], s.get(("e", i))) for i in range(group.size)]
    return EarlyPart(inputs, list(sigmas.values()), offsets, [sigmas[slot] ^ factors[slot] for slot in group.fixed])
