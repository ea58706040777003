"""Mutated frames of a recorded session: cut up and with flipped bits, until one that no session survives.

Up to there every frame is read by the server's session: data messages come in pieces, each with a bit flipped. Then one
message is truncated, lengthened, doubled, left out, exchanged with another, of another type or tag, or none at all.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from measuring.recording import Message, Phase

from pi_system._proto.v1.control_pb2 import ClientEnvelope, Done, Prepare, Prepared, ServerEnvelope
from pi_system.rpc.frames import CONTROL, DATA, FRAME_BYTES, OPEN

_MORE: Final = 3
"""Tag of a frame whose data message goes on."""
_PIECES: Final = 100
_AFTER: Final = 3
"""Frames sent after the fatal one: what nobody waits for any more."""
_TAGS: Final = (0, CONTROL, DATA, _MORE, OPEN, 7, 255)
_TYPES: Final = tuple(
    envelope.SerializeToString()
    for envelope in (
        ServerEnvelope(prepared=Prepared()),
        ServerEnvelope(done=Done(profile_bytes=1 << 30)),
        ClientEnvelope(prepare=Prepare(count=1 << 31, pairing_id=bytes(16))),
        ClientEnvelope(prepare=Prepare(count=1, pairing_id=bytes(16))),
        ClientEnvelope(),
    )
)


def mutated(messages: Sequence[Message], phase: Phase, rng: np.random.Generator) -> Iterator[tuple[bytes, bool]]:
    """Frames of a session that goes wrong in ``phase``, and which of them are none of the recording."""
    places = [place for place, message in enumerate(messages) if message.phase == phase]
    fatal = int(rng.choice(places)) if places else 0
    for message in messages[:fatal]:
        yield from _survived(message, phase, rng)
    change = _CHANGES[int(rng.integers(len(_CHANGES)))]
    for frame in change(messages, fatal, rng):
        yield frame, True
    for message in messages[fatal + 1 : fatal + 1 + _AFTER]:
        yield _framed(message.body[:FRAME_BYTES], message.tag), False


def _survived(message: Message, phase: Phase, rng: np.random.Generator) -> Iterator[tuple[bytes, bool]]:
    """Control messages, and what comes before the phase, as they are; data in pieces, a bit flipped in most."""
    if message.tag == CONTROL or not message.body:
        yield _framed(message.body, message.tag), False
        return
    pieces = min(len(message.body), int(rng.integers(1, _PIECES)))
    ends = (
        np.sort(rng.choice(len(message.body) - 1, pieces - 1, replace=False)) + 1 if pieces > 1 else np.array([], int)
    )
    bounds = [0, *ends.tolist(), len(message.body)]
    body = np.frombuffer(message.body, np.uint8).copy()
    if message.phase == phase != "meeting":
        at = [int(rng.integers(begin, end)) for begin, end in pairwise(bounds)]
        body[at] ^= (1 << rng.integers(0, 8, pieces)).astype(np.uint8)
    for begin, end in pairwise(bounds):
        for start in range(begin, end, FRAME_BYTES):
            stop = min(end, start + FRAME_BYTES)
            yield _framed(body[start:stop].tobytes(), DATA if stop == len(body) else _MORE), True


def _framed(body: bytes, tag: int) -> bytes:
    return body + bytes([tag])


Change = Callable[[Sequence[Message], int, np.random.Generator], list[bytes]]


def _truncated(messages: Sequence[Message], place: int, rng: np.random.Generator) -> list[bytes]:
    body, tag = _part(messages, place)
    return [_framed(body[: int(rng.integers(0, max(1, len(body))))], tag)]


def _lengthened(messages: Sequence[Message], place: int, rng: np.random.Generator) -> list[bytes]:
    body, tag = _part(messages, place)
    return [_framed(body + rng.bytes(int(rng.integers(1, 65))), tag)]


def _flipped(messages: Sequence[Message], place: int, rng: np.random.Generator) -> list[bytes]:
    body, tag = _part(messages, place)
    changed = bytearray(body or b"\0")
    for _ in range(int(rng.integers(1, 9))):
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return [_framed(bytes(changed), tag)]


def _doubled(messages: Sequence[Message], place: int, rng: np.random.Generator) -> list[bytes]:
    return [_framed(*_part(messages, place))] * int(rng.integers(2, 4))


def _left_out(messages: Sequence[Message], place: int, rng: np.random.Generator) -> list[bytes]:
    return [_framed(*_part(messages, place + 1))] if place + 1 < len(messages) else []


def _exchanged(messages: Sequence[Message], place: int, rng: np.random.Generator) -> list[bytes]:
    other = int(rng.integers(len(messages)))
    return [_framed(*_part(messages, index)) for index in (other, place)]


def _tagged(messages: Sequence[Message], place: int, rng: np.random.Generator) -> list[bytes]:
    return [_framed(_part(messages, place)[0], int(rng.choice(_TAGS)))]


def _typed(messages: Sequence[Message], place: int, rng: np.random.Generator) -> list[bytes]:
    return [_framed(_TYPES[int(rng.integers(len(_TYPES)))], CONTROL)]


def _garbage(messages: Sequence[Message], place: int, rng: np.random.Generator) -> list[bytes]:
    return [rng.bytes(int(rng.integers(0, 2048))) for _ in range(int(rng.integers(1, 4)))]


def _oversized(messages: Sequence[Message], place: int, rng: np.random.Generator) -> list[bytes]:
    return [_framed(bytes(FRAME_BYTES + int(rng.integers(1, 64))), int(rng.choice(_TAGS)))]


_CHANGES: Final[tuple[Change, ...]] = (
    _truncated,
    _lengthened,
    _flipped,
    _flipped,
    _doubled,
    _left_out,
    _exchanged,
    _tagged,
    _typed,
    _garbage,
    _oversized,
)


def _part(messages: Sequence[Message], place: int) -> tuple[bytes, int]:
    """A message's first frame."""
    body, tag = messages[place].body, messages[place].tag
    return body[:FRAME_BYTES], tag if len(body) <= FRAME_BYTES else _MORE
