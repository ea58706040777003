import numpy as np
import pytest
from streams import stream_pair

from pi_system.errors import (
    FrameTooLargeError,
    LocalProtocolError,
    PeerTimeoutError,
    PeerUnavailableError,
    PiError,
    RemoteProtocolError,
)
from pi_system.rpc.frames import CONTROL, DATA, FRAME_BYTES, FrameStream

SIZES = [0, 1, 8, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 2 * FRAME_BYTES, 3 * FRAME_BYTES + 5]


def fed(*frames: bytes, timeout_s: float = 1.0) -> FrameStream:
    """A stream whose peer sent ``frames`` and then closed."""
    stream = FrameStream(timeout_s, "server")
    stream.pump(iter(frames), lambda error: PeerUnavailableError(str(error)))
    return stream


@pytest.mark.parametrize("nbytes", SIZES)
def test_data_of_every_size_arrives_whole(nbytes: int) -> None:
    left, right = stream_pair()
    sent = np.random.default_rng(nbytes).integers(0, 256, nbytes, np.uint8)
    left.write(sent.data, DATA)
    left.write(b"after", CONTROL)
    assert np.array_equal(np.frombuffer(right.read_data(nbytes), np.uint8), sent)
    assert bytes(right.read_control()) == b"after"


def test_typed_buffers_are_sent_as_bytes_and_arrive_aligned() -> None:
    left, right = stream_pair()
    words = np.arange(100, dtype=np.uint64)
    left.write(words.data, DATA)
    received = np.frombuffer(right.read_data(words.nbytes), np.uint64)
    assert np.array_equal(received, words)
    assert received.flags.aligned


def test_frames_are_at_most_one_megabyte_and_a_tag() -> None:
    stream = FrameStream(1.0)
    stream.write(bytes(2 * FRAME_BYTES + 1), DATA)
    stream.write(b"hello", CONTROL)
    stream.close()
    frames = list(stream.outgoing())
    assert [len(frame) for frame in frames] == [FRAME_BYTES + 1, FRAME_BYTES + 1, 2, 6]
    assert [frame[-1] for frame in frames] == [3, 3, 2, 1]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param([b"1234567" + b"\x02"], 8, id="too short"),
        pytest.param([b"123456789" + b"\x02"], 8, id="too long"),
        pytest.param([b"12345678" + b"\x01"], 8, id="control"),
        pytest.param([b"12345678" + b"\x09"], 8, id="unknown tag"),
        pytest.param([b"12345678" + b"\x03"], 8, id="more announced than expected"),
        pytest.param([b"1234" + b"\x02", b"5678" + b"\x02"], 8, id="two messages"),
        pytest.param([b"1234" + b"\x03", b"56789" + b"\x02"], 8, id="second part too long"),
        pytest.param([b"123456789" + b"\x03"], 8, id="first part too long"),
        pytest.param([b"\x03", b"12345678\x02"], 8, id="empty part"),
        pytest.param([b""], 8, id="no tag"),
        pytest.param([b"x\x02"], 0, id="data where none is expected"),
    ],
)
def test_frames_that_do_not_fit_are_refused(frames: list[bytes], expected: int) -> None:
    with pytest.raises(RemoteProtocolError):
        fed(*frames).read_data(expected)


def test_split_message_of_a_peer_with_smaller_frames_is_accepted() -> None:
    assert bytes(fed(b"1234\x03", b"5678\x02").read_data(8)) == b"12345678"


def test_frame_over_the_limit_is_refused() -> None:
    with pytest.raises(FrameTooLargeError):
        fed(bytes(FRAME_BYTES + 2)).read_data(FRAME_BYTES + 1)


def test_data_where_control_is_expected_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="control"):
        fed(b"data\x02").read_control()


def test_own_control_message_over_a_frame_is_our_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        FrameStream(1.0).write(bytes(FRAME_BYTES + 1), CONTROL)


def test_silent_peer_times_out() -> None:
    left, _ = stream_pair(timeout_s=0.05)
    with pytest.raises(PeerTimeoutError):
        left.read_data(1)


def test_what_was_queued_before_close_arrives_and_then_the_end() -> None:
    left, right = stream_pair()
    left.write(b"last", DATA)
    left.close()
    assert bytes(right.read_data(4)) == b"last"
    with pytest.raises(PeerUnavailableError, match="closed"):
        right.read_data(1)
    with pytest.raises(PiError):
        left.write(b"late", DATA)


def test_failure_reaches_both_directions_and_the_callbacks() -> None:
    left, right = stream_pair()
    seen: list[PiError] = []
    left.when_dead(seen.append)
    left.fail(FrameTooLargeError("why"))
    left.when_dead(seen.append)
    assert [str(error) for error in seen] == ["why", "why"]
    for act in (lambda: left.read_data(1), lambda: left.write(b"x", DATA)):
        with pytest.raises(FrameTooLargeError, match="why"):
            act()
    with pytest.raises(PeerUnavailableError):
        right.read_data(1)
