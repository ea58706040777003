"""Messages on one bidirectional gRPC stream of raw bytes, cut into frames.

A frame is one gRPC message: up to 1 MB of body and, last, one tag byte. The tag stands at the end so that the body
starts where the allocator aligned it and a receiver can compute on it in place. Raw bytes, because protobuf's copies
of ``bytes`` cost 2 to 3 times as much from 1 MB up; 1 MB frames, because larger ones are slower again.

Sending, receiving and computing overlap: gRPC's threads pull large messages from ``outgoing`` and push what comes into
the inbox. Small messages leave in the protocol's own thread, see outbox.py. The same class serves both ends of a
stream, and any two ends that are joined in memory.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np

from pi_system.errors import (
    ChannelError,
    ConfigError,
    FrameTooLargeError,
    LocalProtocolError,
    PeerUnavailableError,
    PiError,
    RemoteProtocolError,
)
from pi_system.interrupts import check
from pi_system.protocols.half import Readable
from pi_system.rpc.byte_queue import ByteQueue, copied
from pi_system.rpc.direct import DirectCall
from pi_system.rpc.outbox import Outbox
from pi_system.rpc.receiver import Inbox, Receiver
from pi_system.rpc.tls import Caller

FRAME_BYTES: Final = 1 << 20
"""Body bytes of a full frame. Larger: slower copies, a worse overlap. Smaller: 0.07 ms of CPU a frame adds up."""
TAG_BYTES: Final = 1
QUEUE_BYTES: Final = 64 << 20
"""Bytes a direction may hold before the writer waits. Larger: memory. Smaller: less computing ahead of the link."""
CONTROL: Final = 1
"""A protobuf envelope, one frame."""
DATA: Final = 2
"""The last or only frame of a data message."""
_DATA_MORE: Final = 3
OPEN: Final = 4
"""The dialled end's first frame, empty: it has taken the stream."""
_TAG = {tag: bytes([tag]) for tag in (CONTROL, DATA, _DATA_MORE, OPEN)}


class FrameStream:
    """One end of a stream. After any error it is dead."""

    def __init__(
        self,
        timeout_s: float,
        peer: str = "peer",
        gone: type[ChannelError] = PeerUnavailableError,
        caller: Caller | None = None,
    ):
        """A stream not yet connected: ``pump`` gives it its input, ``outgoing`` its output.

        Args:
            timeout_s: how long a silent (or not reading) peer is waited for.
            peer: what messages call the other side, for example "server 127.0.0.1:7100".
            gone: the error that says that it cannot be reached or went away.
            caller: from its certificate; None without TLS, and at the end that dials.
        """
        self.timeout_s = timeout_s
        self.peer = peer
        self.gone = gone
        self.caller = caller
        self._lock = threading.Lock()
        self._dead: PiError | None = None
        self._when_dead: list[Callable[[PiError], None]] = []
        self._inbox: Inbox = ByteQueue(QUEUE_BYTES)
        self._receiver: Receiver | None = None
        self.arrived_s = 0.0
        self.arrivals: list[tuple[float, int]] = []
        self._outbox = Outbox(QUEUE_BYTES, _cut)

    def check_role(self, expected: str) -> None:
        """Refuse a caller with the certificate of another role. Raises ConfigError."""
        if self.caller is not None and self.caller.role != expected:
            raise ConfigError(f"certificate: expected one of the {expected}, found one of the {self.caller.role}")

    def outgoing(self) -> Iterator[bytes]:
        """Frames to send, for gRPC to pull; ends (with the stream's error, if any) once closed and drained."""
        return self._outbox.frames()

    def pump(
        self,
        incoming: Iterable[bytes],
        translate: Callable[[Exception], PiError],
        *,
        peer_still_reads: bool = False,
        call: DirectCall | None = None,
    ) -> None:
        """Start to receive.

        Args:
            incoming: the peer's frames; its end means that the peer closed its direction.
            translate: turns gRPC's exception into ours.
            peer_still_reads: after that end, as a client that closed its direction does, and a server does not.
            call: that brings them, too, without a thread; then ``incoming`` is only asked how it ended.
        """

        def read() -> None:
            try:
                for frame in incoming:
                    self._inbox.put((frame, time.monotonic()), len(frame), None)
            except PiError:
                return  # closed from our side
            except Exception as error:
                self.fail(translate(error))
            else:
                self._inbox.close()
                if not peer_still_reads:  # whoever is stuck in a write must not wait for room
                    self._die(self.gone(f"{self.peer}: closed the connection"))

        def read_in_thread() -> None:
            try:
                threading.Thread(target=read, name="frame-reader", daemon=True).start()
            except RuntimeError:  # no more threads: gRPC's own, in which this may run, must go on
                self._die(self.gone(f"{self.peer}: expected a thread to read with, found none to be had"))

        if call is None:
            read_in_thread()
            return
        self._outbox.connect(call)
        self._receiver = Receiver(call, self._inbox, read_in_thread)
        self._receiver.resume()

    def write(self, data: Readable, tag: int) -> None:
        """Queue one message; the buffer must not change any more. Raises the stream's error once it is dead."""
        check()
        view = memoryview(data).cast("B")
        if tag == CONTROL and view.nbytes > FRAME_BYTES:
            raise LocalProtocolError(f"expected a control message under {FRAME_BYTES}, found {view.nbytes} bytes")
        self._outbox.put(view, tag, self.timeout_s)

    def read_open(self, timeout_s: float) -> None:
        """Wait until the other end has taken this stream. Raises its refusal, PeerTimeoutError or ``gone``."""
        frame = self._read_frame("an opened stream", timeout_s)
        if frame != _TAG[OPEN]:
            raise RemoteProtocolError(f"{self.peer}: expected an opened stream, found a frame of {len(frame)} bytes")

    def read_control(self, timeout_s: float | None = None) -> memoryview:
        """The next message, which must be a control message; ``timeout_s``: None for the stream's."""
        frame = self._read_frame("a control message", timeout_s)
        if frame[-1] != CONTROL:
            raise RemoteProtocolError(f"{self.peer}: expected a control message, found tag {frame[-1]}")
        return memoryview(frame)[:-TAG_BYTES]

    def read_data(self, nbytes: int) -> memoryview:
        """The next message, which must be data of exactly ``nbytes``; a single frame is returned in place."""
        self.arrivals = []
        frame = self._read_frame(f"{nbytes} bytes of data")
        if nbytes <= FRAME_BYTES and frame[-1] == DATA and len(frame) == nbytes + TAG_BYTES:
            return memoryview(frame)[:-TAG_BYTES]
        # np.empty does not clear the buffer, which bytearray does.
        message = np.empty(nbytes, np.uint8).data
        filled = 0
        while True:
            body = len(frame) - TAG_BYTES
            expected_tag = DATA if filled + body == nbytes else _DATA_MORE
            if filled + body > nbytes or frame[-1] != expected_tag or (frame[-1] == _DATA_MORE and not body):
                raise RemoteProtocolError(
                    f"{self.peer}: expected {nbytes} bytes of data, found a frame of {body} with tag {frame[-1]} "
                    f"after {filled} bytes"
                )
            message[filled : filled + body] = memoryview(frame)[:-TAG_BYTES]
            filled += body
            if filled == nbytes:
                return message
            frame = self._read_frame(f"{nbytes - filled} more bytes of data")

    def _read_frame(self, expected: str, timeout_s: float | None = None) -> bytes:
        entry = self._inbox.get(self.timeout_s if timeout_s is None else timeout_s)
        if self._receiver is not None:
            self._receiver.resume()
        if entry is None:
            raise self.gone(f"{self.peer}: expected {expected}, found the connection closed")
        frame, self.arrived_s = entry
        self.arrivals.append((self.arrived_s, len(frame) - TAG_BYTES))
        if not frame:
            raise RemoteProtocolError(f"{self.peer}: expected a frame with a tag, found an empty one")
        if len(frame) > FRAME_BYTES + TAG_BYTES:
            raise FrameTooLargeError(
                f"{self.peer}: expected frames of at most {FRAME_BYTES + TAG_BYTES} bytes, found {len(frame)}"
            )
        return frame

    def close(self) -> None:
        """Say that nothing more is sent; what is queued still leaves. What came can still be read."""
        self._outbox.close()

    def fail(self, error: PiError) -> None:
        """Kill both directions; whoever waits gets ``error`` (after what had arrived before)."""
        self._inbox.close(error)
        self._die(error)

    def when_dead(self, callback: Callable[[PiError], None]) -> None:
        """Have ``callback`` called once the peer is gone or the stream failed; at once if it has."""
        with self._lock:
            dead = self._dead
            if dead is None:
                self._when_dead.append(callback)
        if dead is not None:
            callback(dead)

    def _die(self, error: PiError) -> None:
        self._outbox.close(error)
        with self._lock:
            if self._dead is not None:
                return
            self._dead = copied(error)
        for callback in self._when_dead:
            callback(error)
        self._when_dead.clear()


def _cut(view: memoryview, tag: int) -> Iterator[bytes]:
    """The frames of a message. The one copy of what is sent: gRPC needs a bytes object of each."""
    start = 0
    while view.nbytes - start > FRAME_BYTES:
        yield b"".join((view[start : start + FRAME_BYTES], _TAG[_DATA_MORE]))
        start += FRAME_BYTES
    yield b"".join((view[start:], _TAG[tag]))
