"""The order of a gate's messages, said once: both parties, the cost model's clock and the tests follow ``turns``.

    server                                    client
    send, chunk by chunk                -->   reply, chunk by chunk           exchange 0
    receive a chunk, send it again     <-->   reply, chunk by chunk           exchange 1, ..
    receive, chunk by chunk             <--

Everything of an exchange is sent before its replies are read, so that the server computes a chunk while the client
works on the one before. A chunk of every picture of a batch goes before the next chunk.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from pi_system.channel.base import Channel
from pi_system.protocols.phases import ClientGate, ServerGate
from pi_system.ring.carrier import RingArray

CHUNK = 1 << 14
"""Elements a message. Smaller: more overlap of computing and sending, more messages (0.1 ms each in gRPC).
A multiple of every gate's block, so that chunked keys read aligned."""


class Turn(NamedTuple):
    """What one party does next: the server sends or receives, the client replies, about one chunk of one picture."""

    step: Literal["send", "reply", "receive"]
    exchange: int
    picture: int
    first: int
    length: int


def chunks(count: int, size: int = CHUNK) -> Iterator[tuple[int, int]]:
    """(first, length) of each chunk of ``count`` elements."""
    for first in range(0, count, size):
        yield first, min(size, count - first)


def turns(count: int, round_trips: int, batch: int = 1, size: int = CHUNK) -> Iterator[Turn]:
    """The turns of both parties, each after those it waits for; a party's own are in the order it takes them."""
    pieces = [(picture, first, length) for first, length in chunks(count, size) for picture in range(batch)]
    for piece in pieces:
        yield Turn("send", 0, *piece)
    for exchange in range(round_trips):
        for piece in pieces:
            yield Turn("reply", exchange, *piece)
        for piece in pieces:
            yield Turn("receive", exchange, *piece)
            if exchange + 1 < round_trips:
                yield Turn("send", exchange + 1, *piece)


def serve(
    gates: Sequence[ServerGate],
    count: int,
    shares: Callable[[int, int], RingArray],
    client: Channel,
    meanwhile: Callable[[], None] = lambda: None,
) -> RingArray:
    """The server's turns of a batch's gates, one a picture, of ``count`` elements each.

    Args:
        gates: with their material.
        count: n.
        shares: (first, length) to y_0 of a chunk, (N, length); asked for in order, when the chunk is about to be sent.
        client: the other party.
        meanwhile: called once, when everything has left that needs no answer.

    Returns:
        D of all elements, (N, n).
    """
    for step, exchange, picture, first, length in turns(count, gates[0].round_trips, len(gates)):
        gate = gates[picture]
        if step == "send":
            if exchange == 0:
                gate.load(first, shares(first, length)[picture])
            client.send(gate.send(exchange, first, length))
            gate.work(exchange, first, length)
        elif step == "receive":
            if (exchange, picture, first) == (0, 0, 0):
                meanwhile()
            gate.receive(exchange, first, length, client.recv(gate.reply_bytes(exchange, length)))
    results = [gate.result() for gate in gates]
    return results[0][None] if len(results) == 1 else np.stack(results)


def answer(gates: Sequence[ClientGate], count: int, server: Channel) -> None:
    """The client's turns of a batch's gates; an exchange is one round, however many messages it has."""
    for step, exchange, picture, first, length in turns(count, gates[0].round_trips, len(gates)):
        if step != "reply":
            server.counters.sent_since_receive = True  # the exchange is over, the next message starts a round
            continue
        message = server.recv(gates[picture].message_bytes(exchange, length))
        server.send(gates[picture].reply(exchange, first, length, message))
        server.counters.same_round()
