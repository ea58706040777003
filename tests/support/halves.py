"""Two halves of a protocol stepped against each other, without a channel or a thread."""

from collections import deque
from typing import Any, NamedTuple

from pi_system.channel.base import ChannelCounters
from pi_system.protocols.half import BARRIER, Half, Send


class Ran(NamedTuple):
    """What both halves returned, how much each sent and received, and what: messages of the server, of the client.

    ``chains``: see trips.py.
    """

    server: Any
    client: Any
    at_server: ChannelCounters
    at_client: ChannelCounters
    received: tuple[list[bytes], list[bytes]]
    chains: tuple[int, int]


class _End:
    def __init__(self, half: Half[Any]) -> None:
        self.counters, self.inbox, self.result, self.ended = ChannelCounters(), deque[tuple[bytes, int]](), None, False
        self.received: list[bytes] = []
        self.chain = 0
        self._half = half
        self._step: Any = None

    def advance(self, peer: "_End") -> bool:
        """Go on until a message is missing; whether that was anywhere."""
        moved = False
        try:
            if self._step is None:
                self._step = next(self._half)
            while self._step is BARRIER or isinstance(self._step, Send) or self.inbox:
                moved = True
                if self._step is BARRIER:
                    self._step = next(self._half)
                elif isinstance(self._step, Send):
                    peer.inbox.append((bytes(self._step.data), self.chain + 1))
                    self.counters.on_send(len(peer.inbox[-1][0]))
                    self._step = next(self._half)
                else:
                    message, chain = self.inbox.popleft()
                    self.received.append(message)
                    self.chain = max(self.chain, chain)
                    self.counters.on_receive(len(self.received[-1]))
                    self._step = self._half.send(memoryview(self.received[-1]))
        except StopIteration as end:
            self.result, self.ended = end.value, True
        return moved or self.ended


def run_halves(server: Half[Any], client: Half[Any]) -> Ran:
    """Both results; fails where both wait, or where a message is left over."""
    left, right = _End(server), _End(client)
    while not (left.ended and right.ended):
        moved = [end.advance(peer) for end, peer in ((left, right), (right, left)) if not end.ended]
        assert any(moved), "both halves wait for a message"
    assert (len(left.inbox), len(right.inbox)) == (0, 0), "a message that nobody waits for"
    received, chains = (left.received, right.received), (left.chain, right.chain)
    return Ran(left.result, right.result, left.counters, right.counters, received, chains)


def run_alone(half: Half[Any], *messages: bytes) -> Any:
    """What a half returns whose peer sends ``messages`` and no more, whatever it says itself."""
    left = deque(messages)
    try:
        step = next(half)
        while True:
            passed = step is BARRIER or isinstance(step, Send)
            step = next(half) if passed else half.send(memoryview(left.popleft()))
    except StopIteration as end:
        return end.value
