"""Gates of every protocol refuse what is out of turn, and a second value under the same masks, with typed errors.

A new protocol registers in tests/support/gates.py and writes no new tests here.
"""

from typing import Any

import numpy as np
import pytest
from gates import PROTOCOLS, SQUARES, exchange, prepare, unseen_of

from pi_system.errors import CorrelationReusedError, LocalProtocolError, RemoteProtocolError
from pi_system.protocols.gate import GateSpec
from pi_system.ring.prg import Prg

COUNT, CHUNK = 100, 64


@pytest.fixture(params=PROTOCOLS)
def gates(request: pytest.FixtureRequest) -> Any:
    kind: Any
    kind, shift = ("square", 0) if request.param in SQUARES else ("relu", 10)
    unseen = unseen_of(request.param, 24 - shift)
    spec = GateSpec(kind=kind, count=COUNT, ring_bits=59, comparison_bits=24, shift=shift, unseen_bits=unseen)
    return prepare(PROTOCOLS[request.param], spec, np.zeros(COUNT, np.int64)).gates()


@pytest.fixture
def share() -> Any:
    return Prg(b"x" * 16).ring(COUNT, 59)


def blank(nbytes: int) -> memoryview:
    return memoryview(bytes(nbytes))


def begun(gates: Any, share: Any) -> Any:
    """One chunk up to the client's first reply."""
    gates.server.load(0, share[:CHUNK])
    message = gates.server.send(0, 0, CHUNK)
    gates.server.work(0, 0, CHUNK)
    return message, gates.client.reply(0, 0, CHUNK, message)


def test_a_step_before_its_turn_is_ours(gates: Any, share: Any) -> None:
    server, client = gates.server, gates.client
    with pytest.raises(LocalProtocolError, match="begun"):
        server.send(0, 0, CHUNK)
    with pytest.raises(LocalProtocolError, match="begun"):
        server.receive(0, 0, CHUNK, blank(server.reply_bytes(0, CHUNK)))
    server.load(0, share[:CHUNK])
    with pytest.raises(LocalProtocolError, match="found receive"):
        server.receive(0, 0, CHUNK, blank(server.reply_bytes(0, CHUNK)))
    with pytest.raises(LocalProtocolError, match="found work"):
        server.work(0, 0, CHUNK)
    with pytest.raises(LocalProtocolError, match="found send in exchange 1"):
        server.send(1, 0, CHUNK)
    server.send(0, 0, CHUNK)
    with pytest.raises(LocalProtocolError, match="found receive"):
        server.receive(0, 0, CHUNK, blank(server.reply_bytes(0, CHUNK)))
    with pytest.raises(LocalProtocolError, match="begun"):
        client.reply(1, 0, CHUNK, blank(client.message_bytes(1, CHUNK)))


def test_a_second_input_for_the_same_elements_is_refused_before_it_is_masked(gates: Any, share: Any) -> None:
    server = gates.server
    server.load(0, share[:CHUNK])
    for first, length in ((0, CHUNK), (0, COUNT), (32, 32), (32, COUNT - 32)):
        with pytest.raises(CorrelationReusedError):
            server.load(first, share[first : first + length] + share.dtype.type(1))
    server.load(CHUNK, share[CHUNK:])


def test_no_message_is_made_or_answered_twice(gates: Any, share: Any) -> None:
    server, client = gates.server, gates.client
    message, reply = begun(gates, share)
    with pytest.raises(CorrelationReusedError):
        server.send(0, 0, CHUNK)
    with pytest.raises(CorrelationReusedError):
        server.work(0, 0, CHUNK)
    for first, length in ((0, CHUNK), (0, 32), (32, 32), (0, COUNT)):
        with pytest.raises(CorrelationReusedError):
            client.reply(0, first, length, blank(client.message_bytes(0, length)))
    server.receive(0, 0, CHUNK, reply)
    with pytest.raises(CorrelationReusedError):
        server.receive(0, 0, CHUNK, reply)
    assert message.nbytes == client.message_bytes(0, CHUNK)


@pytest.mark.parametrize(
    ("first", "length"), [(0, COUNT + 1), (0, COUNT + 28), (CHUNK, COUNT - CHUNK), (0, 33), (0, 0), (-32, 32)]
)
def test_a_chunk_out_of_range_or_of_parts_of_blocks_is_ours(gates: Any, share: Any, first: int, length: int) -> None:
    server, client = gates.server, gates.client
    with pytest.raises(LocalProtocolError, match="whole blocks"):
        server.load(first, np.zeros(length, share.dtype))
    with pytest.raises(LocalProtocolError, match="whole blocks"):
        client.reply(0, first, length, blank(client.message_bytes(0, length)))


def test_a_chunk_keeps_its_bounds(gates: Any, share: Any) -> None:
    begun(gates, share)
    with pytest.raises(LocalProtocolError, match="begun"):
        gates.server.receive(0, 0, 32, blank(gates.server.reply_bytes(0, 32)))


def test_after_its_result_a_gate_is_used_up(gates: Any, share: Any) -> None:
    server, client = gates.server, gates.client
    exchange(server, client, share, CHUNK)
    server.result()
    with pytest.raises(CorrelationReusedError):
        server.load(0, share[:CHUNK])
    with pytest.raises(CorrelationReusedError):
        client.reply(0, 0, CHUNK, blank(client.message_bytes(0, CHUNK)))
    last = server.round_trips - 1
    with pytest.raises(CorrelationReusedError):
        client.reply(last, 0, CHUNK, blank(client.message_bytes(last, CHUNK)))
    with pytest.raises(LocalProtocolError):
        server.send(server.round_trips, 0, CHUNK)


def test_a_result_is_not_read_early(gates: Any, share: Any) -> None:
    server, client = gates.server, gates.client
    with pytest.raises(LocalProtocolError, match="every chunk finished"):
        server.result()
    server.load(0, share[:CHUNK])
    for number in range(server.round_trips):
        with pytest.raises(LocalProtocolError, match="every chunk finished"):
            server.result()
        message = server.send(number, 0, CHUNK)
        server.work(number, 0, CHUNK)
        server.receive(number, 0, CHUNK, client.reply(number, 0, CHUNK, message))
    with pytest.raises(LocalProtocolError, match="every chunk finished"):
        server.result()


@pytest.mark.parametrize("change", [-1, 1])
def test_a_message_of_another_size_is_the_peers_fault_and_changes_nothing(gates: Any, share: Any, change: int) -> None:
    server, client = gates.server, gates.client
    server.load(0, share[:CHUNK])
    message = server.send(0, 0, CHUNK)
    server.work(0, 0, CHUNK)
    with pytest.raises(RemoteProtocolError, match="expected a message"):
        client.reply(0, 0, CHUNK, blank(message.nbytes + change))
    reply = client.reply(0, 0, CHUNK, message)
    with pytest.raises(RemoteProtocolError, match="expected a message"):
        server.receive(0, 0, CHUNK, blank(reply.nbytes + change))
    server.receive(0, 0, CHUNK, reply)
