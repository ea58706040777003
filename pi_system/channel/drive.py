"""The one place where a protocol's half meets a channel."""

from contextlib import closing
from typing import TypeVar

from pi_system.channel.base import Channel
from pi_system.protocols.half import Half, Receive, Send

T = TypeVar("T")


def drive(half: Half[T], channel: Channel) -> T:
    """Run one party's half of a protocol (protocols/half.py) to its end and return what it returns.

    Raises:
        ChannelError: of the channel; the half is closed.
        RemoteProtocolError: the peer sent something else than the protocol has.
    """
    with closing(half):
        try:
            step = next(half)
            while True:
                if isinstance(step, Receive):
                    step = half.send(channel.recv(step.nbytes))
                    continue
                if isinstance(step, Send):
                    channel.send(step.data)
                step = next(half)
        except StopIteration as end:
            result: T = end.value
            return result
