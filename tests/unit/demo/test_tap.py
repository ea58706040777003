"""What a tap sees of a party: steps with their bytes, the first message, shares."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from pi_system.channel.memory import memory_pair
from pi_system.channel.profile import OFF, profiler_of
from pi_system.demo.tap import ServerTap, ShareTap, TapStep


class Share:
    def __init__(self, ready: bool) -> None:
        self.ready, self.array = ready, np.arange(4, dtype=np.uint64)

    def full(self) -> Any:
        if not self.ready:
            raise AssertionError("computed for the tap")
        return self.array


def test_steps_are_told_when_they_are_left_with_what_went_through_them() -> None:
    steps: list[TapStep] = []
    near, far = memory_pair()
    tap = ShareTap(steps.append)
    channel = tap.watch(near)
    assert profiler_of(channel) is tap
    assert (profiler_of(near), tap.on) == (OFF, False)
    tap.begin("input")
    channel.send(b"masked")
    channel.send(b"more")
    tap.enter("silent")
    tap.enter("relu/part")
    far.send(b"12345")
    assert bytes(channel.recv(5)) == b"12345"
    tap.leave()
    tap.leave()
    found = [(step.name, step.sent_bytes, step.received_bytes, step.rounds) for step in steps]
    assert found == [("input", 10, 0, 0), ("relu", 0, 5, 1)]
    assert tap.first == b"masked"
    assert channel.counters is near.counters


def test_shares_are_copied_and_none_is_computed() -> None:
    tap, there = ShareTap(), Share(ready=True)
    tap.holds("there", there)
    tap.holds("lazy", Share(ready=False))
    there.array[:] = 0
    assert list(tap.shares) == ["there"]
    assert tap.shares["there"].tolist() == [0, 1, 2, 3]


def test_a_server_writes_its_shares_after_the_last_message(tmp_path: Path) -> None:
    near, far = memory_pair()
    tap = ServerTap(tmp_path / "server.safetensors")
    channel = tap.watch(near)
    tap.holds("relu", Share(ready=True))
    tap.enter("relu")
    channel.send(b"x")
    assert list(tmp_path.iterdir()) == []
    tap.enter("output")
    channel.send(b"y")
    assert [bytes(far.recv(1)) for _ in range(2)] == [b"x", b"y"]
    assert load_file(tmp_path / "server.safetensors")["relu"].tolist() == [0, 1, 2, 3]
    assert not tap.shares
