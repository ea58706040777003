"""Every offline half of every protocol, stepped without a channel: messages, their order, and what else is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from halves import Ran, run_alone, run_halves
from insecure_cots import insecure_parties

from pi_system.errors import RemoteProtocolError
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import BARRIER, Half, Receive, Send, abreast, in_turn, together
from pi_system.protocols.linear_he import LinearHeClient, LinearHeServer, LinearShape, plan_linear, plan_together
from pi_system.protocols.ot import ot_setup
from pi_system.protocols.ot.base_ot import BaseOtReceiver, BaseOtSender
from pi_system.protocols.ot.ferret import FerretReceiver, FerretSender, LpnParameters
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW
from pi_system.protocols.relu_table import TABLE
from pi_system.protocols.square import SQUARE
from pi_system.protocols.truncation import TruncationSpec, pairs
from pi_system.ring.prg import Prg

SEED = b"0123456789abcdef"
Halves = tuple[Half[Any], Half[Any]]


def base_ots() -> Halves:
    def send() -> Half[Any]:
        sender = BaseOtSender(Prg(SEED))
        yield Send(sender.point)
        return (yield from sender.finish(8))

    return send(), BaseOtReceiver(np.arange(8, dtype=np.uint8) % 2, Prg(b"c" * 16)).run()


def setup(silent: bool) -> Halves:
    def party(seed: bytes, direction: str) -> Half[Any]:
        ends = yield from ot_setup(Prg(seed), silent=silent)
        return (yield from getattr(ends, direction).extend(300))

    return party(b"s" * 16, "sender"), party(b"c" * 16, "receiver")


def ferret() -> Halves:
    parameters = LpnParameters(trees=40, secret=250, depth=6)  # insecure and small
    server, client = insecure_parties(SEED)
    return (
        FerretSender(parameters, SEED, server.sender, Prg(SEED)).extend(4000),
        FerretReceiver(parameters, SEED, client.receiver).extend(4000),
    )


def gate(protocol: OtGate, unseen_bits: int = 0) -> Halves:
    kind, shift = ("square", 0) if protocol is SQUARE else ("relu", 10)
    fields: Any = {"kind": kind, "shift": shift, "unseen_bits": unseen_bits}
    spec = GateSpec(count=70, ring_bits=59, comparison_bits=24, **fields)
    server, client = insecure_parties(SEED)
    share, mask = Prg(SEED).ring(70, 59), Prg(SEED).ring(70, 59)
    return (
        protocol.offline_server(spec, server, Prg(b"s" * 16)),
        protocol.offline_client(spec, share, mask, client, Prg(b"c" * 16)),
    )


def side_by_side() -> Halves:
    """Three of different numbers of rounds, and elements."""
    specs = [
        GateSpec(count=count, ring_bits=59, comparison_bits=bits, shift=shift, unseen_bits=unseen)
        for count, bits, shift, unseen in ((40, 24, 10, 6), (70, 12, 8, 0), (5, 30, 12, 9))
    ]
    server, client = insecure_parties(SEED)

    def serve() -> Half[Any]:
        begun = yield from in_turn(TABLE.begin_server(spec, server, Prg(SEED)) for spec in specs)
        return (yield from together(begun))

    def ask() -> Half[Any]:
        shares = [Prg(SEED).ring(spec.count, 59) for spec in specs]
        begun = yield from in_turn(
            TABLE.begin_client(spec, share, share, client, Prg(SEED)) for spec, share in zip(specs, shares, strict=True)
        )
        return (yield from together(begun))

    return serve(), ask()


TRUNCATION = TruncationSpec(count=70, ring_bits=59, shift=12)


def truncation() -> Halves:
    (server, client), share, mask = insecure_parties(SEED), Prg(SEED).ring(70, 59), Prg(SEED).ring(70, 59)
    return (
        pairs.offline_server(TRUNCATION, server, Prg(b"s" * 16)),
        pairs.offline_client(TRUNCATION, share, mask, client),
    )


def all_abreast(run: Callable[[Any], Half[Any]] = abreast) -> Halves:
    """Every protocol, and one of them twice."""
    server, client = insecure_parties(SEED)
    relu = GateSpec(count=70, ring_bits=59, comparison_bits=24, shift=10, unseen_bits=6)
    square = GateSpec(kind="square", count=40, ring_bits=59, comparison_bits=24, shift=0)
    gates: Any = [(pairs, TRUNCATION), (GMW, relu), (TABLE, relu), (GC, relu), (SQUARE, square), (GMW, relu)]
    at_server, at_client = [], []
    for number, (protocol, spec) in enumerate(gates):
        share, prg = Prg(SEED).child(number).ring(spec.count, 59), Prg(SEED).child(number)
        begins = protocol is TABLE
        serve, ask = (getattr(protocol, f"{'begin' if begins else 'offline'}_{role}") for role in ("server", "client"))
        at_server.append(serve(spec, server, prg))
        own = () if protocol is pairs else (prg,)  # a truncation of the client draws nothing
        at_client.append(ask(spec, share, share, client, *own))
    return run(at_server), run(at_client)


def linear(pictures: int = 1) -> Halves:
    layers = [LinearShape(name=name, source=name, in_channels=3, out_channels=5) for name in ("a", "b", "c")]
    plan = plan_together(plan_linear(layers, 32, 8), pictures)
    weights = {layer.name: np.arange(15, dtype=np.int64).reshape(5, 3) for layer in layers}
    masks = {layer.source: Prg(SEED).child(layer.source).ring((3, 1, 1), 32) for layer in layers}

    def serve() -> Half[Any]:
        session = yield from LinearHeServer(plan, weights).setup()
        return (yield from session.run([Prg(SEED).child(k) for k in range(pictures)]))

    def ask() -> Half[Any]:
        client = LinearHeClient(plan, Prg(SEED).child("key"))
        yield from client.setup()
        return (yield from client.run([masks] * pictures))

    return serve(), ask()


PROTOCOLS: dict[str, Callable[[], Halves]] = {
    "base OTs": base_ots,
    "setup and Ferret": lambda: setup(True),
    "setup and SoftSpokenOT": lambda: setup(False),
    "Ferret over rounds": ferret,
    "gmw": lambda: gate(GMW),
    "gc": lambda: gate(GC),
    "table": lambda: gate(TABLE, 6),
    "gates side by side": side_by_side,
    "square": lambda: gate(SQUARE),
    "gates abreast": all_abreast,
    "truncation": truncation,
    "linear": linear,
    "linear, four pictures": lambda: linear(4),
}
ALL = pytest.mark.parametrize("name", PROTOCOLS)


def run(name: str) -> Ran:
    return run_halves(*PROTOCOLS[name]())


def of_each_party(name: str) -> list[tuple[Callable[[], Half[Any]], list[bytes]]]:
    """A half made anew, and what its peer sends it."""
    received = run(name).received
    return [(lambda side=side: PROTOCOLS[name]()[side], received[side]) for side in (0, 1)]  # type: ignore[misc]


@ALL
def test_two_halves_need_no_channel(name: str) -> None:
    ran = run(name)
    assert ran.at_server.sent_bytes == ran.at_client.received_bytes
    assert ran.at_client.sent_bytes == ran.at_server.received_bytes
    assert ran.at_server.sent_bytes + ran.at_client.sent_bytes > 0


@ALL
@pytest.mark.parametrize("change", [lambda message: message[:-1], lambda message: message + b"x"], ids=["-1", "+1"])
def test_a_message_of_another_size_is_a_remote_error(name: str, change: Callable[[bytes], bytes]) -> None:
    for half, messages in of_each_party(name):
        for place in {0, len(messages) // 2, len(messages) - 1} if messages else ():
            with pytest.raises(RemoteProtocolError, match=r"expected a message of \d+ bytes, found"):
                run_alone(half(), *messages[:place], change(messages[place]))


@ALL
def test_messages_in_another_order_are_a_remote_error(name: str) -> None:
    """Where the sizes tell; what a half sends and waits for is its own, there is no call for the next step."""
    for half, messages in of_each_party(name):
        for place in range(len(messages) - 1):
            if len(messages[place]) != len(messages[place + 1]):
                with pytest.raises(RemoteProtocolError):
                    run_alone(half(), *messages[:place], messages[place + 1])
                break


@ALL
def test_a_half_takes_a_message_only_where_it_waits_for_one(name: str) -> None:
    for half, messages in of_each_party(name):
        begun = half()
        with pytest.raises(TypeError, match="just-started"):
            begun.send(memoryview(b"too early"))
        run_alone(begun, *messages)
        with pytest.raises(StopIteration):
            begun.send(memoryview(b"too late"))


def test_gates_abreast_take_the_round_trips_of_the_longest_and_send_what_they_send_one_by_one() -> None:
    beside, one_by_one = run_halves(*all_abreast()), run_halves(*all_abreast(in_turn))
    assert beside.chains[0] == 2 * 3 + 1  # the truncation: choices, then a table and an answer for three blocks
    assert one_by_one.chains[0] >= 2 * 6
    for found, expected in zip(beside.received, one_by_one.received, strict=True):
        assert sorted(map(len, found)) == sorted(map(len, expected))


def test_nothing_goes_beyond_a_barrier_before_all_have_come_to_it() -> None:
    order: list[str] = []

    def half(name: str, barriers: int) -> Half[str]:
        for number in range(barriers):
            order.append(f"{name}{number}")
            yield Send(b"")
            yield BARRIER
        order.append(f"{name} ends")
        return name

    assert run_alone(abreast([half("a", 2), half("b", 0), half("c", 1)])) == ["a", "b", "c"]
    assert order == ["a0", "b ends", "c0", "a1", "c ends", "a ends"]


def test_a_message_reaches_the_half_that_waits_for_it() -> None:
    def half() -> Half[bytes]:
        first = bytes((yield Receive(1)))
        yield BARRIER
        return first + bytes((yield Receive(1)))

    assert run_alone(abreast([half(), half()]), b"a", b"b", b"c", b"d") == [b"ac", b"bd"]
