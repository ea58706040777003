"""Every protocol of a gate behind one function: its offline phase for given inputs, then both parties' gates."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from halves import run_halves
from insecure_cots import cots_taken, insecure_parties
from numpy.typing import NDArray

from pi_system.channel.base import ChannelCounters
from pi_system.channel.memory import simulate
from pi_system.protocols.dealt import DealtGate
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import Half
from pi_system.protocols.material import Material
from pi_system.protocols.ot import ot_setup
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.phases import ClientGate, ServerGate
from pi_system.protocols.relu_dcf import DCF
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW
from pi_system.protocols.relu_table import TABLE
from pi_system.protocols.square import DEALT_SQUARE, SQUARE
from pi_system.ring.prg import Prg, fresh_seed
from pi_system.secure.turns import CHUNK, answer, serve, turns

RELUS: dict[str, OtGate | DealtGate] = {"dcf": DCF, "gmw": GMW, "gc": GC, "table": TABLE}
SQUARES: dict[str, OtGate | DealtGate] = {"dealt": DEALT_SQUARE, "gilboa": SQUARE}
PROTOCOLS = RELUS | SQUARES
STOCHASTIC = {"dcf", "table"}
"""Protocols that round to either neighbour; the others round to the nearest."""
SEED = b"0123456789abcdef"


def unseen_of(protocol: str, opened_bits: int, least: int = 0) -> int:
    """g of a gate of K = ``opened_bits`` that the protocol takes."""
    return max(least, opened_bits - PROTOCOLS[protocol].reach.compared)


class Gates(NamedTuple):
    server: ServerGate
    client: ClientGate


@dataclass
class Prepared:
    """A gate's inputs, both parties' material, and of the phase that made it counters and COTs (none: a dealer did)."""

    gate: OtGate | DealtGate
    spec: GateSpec
    y: NDArray[np.int64]
    y_server: NDArray[Any]
    y_client: NDArray[Any]
    fresh_mask: NDArray[Any]
    material: tuple[Material, Material]
    counters: tuple[ChannelCounters, ChannelCounters] | None = None
    cots: tuple[int, int] = (0, 0)
    """Of ideal ones, that the server sent and that the client sent."""
    chain: int = 0
    """To the server's end: trips.py."""

    def gates(self) -> Gates:
        mine, theirs = self.material
        return Gates(self.gate.server_gate(self.spec, mine), self.gate.client_gate(self.spec, theirs))


def share(spec: GateSpec, y: NDArray[np.int64], prg: Prg) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The server's share of y, with bits above l, which must not count; the client's; the client's new mask."""
    y_client, fresh_mask = prg.ring(spec.count, spec.ring_bits), prg.ring(spec.count, spec.ring_bits)
    return y.astype(np.uint64).astype(y_client.dtype) - y_client, y_client, fresh_mask


def prepare(
    gate: OtGate | DealtGate, spec: GateSpec, y: NDArray[np.int64], *, silent: bool = False, seed: bytes = b""
) -> Prepared:
    """Offline phase: a dealer's, or over ideal OTs, or over real ones when ``silent``; drawn from ``seed``."""
    prg = Prg(seed or fresh_seed())
    shares = share(spec, y, prg)
    if isinstance(gate, DealtGate):
        seeds = [prg.child_seed(name) for name in ("seed0", "seed1", "salt")]
        return Prepared(gate, spec, y, *shares, dealt_material(gate, spec, *shares[1:], *seeds))
    ends = insecure_parties(prg.child_seed("ideal OTs"))

    def server() -> Half[Material]:
        ots = (yield from ot_setup(prg.child("server's OTs"))) if silent else ends[0]
        return (yield from gate.offline_server(spec, ots, prg.child("server")))

    def client() -> Half[Material]:
        ots = (yield from ot_setup(prg.child("client's OTs"))) if silent else ends[1]
        return (yield from gate.offline_client(spec, *shares[1:], ots, prg.child("client")))

    ran = run_halves(server(), client())
    counters = ran.at_server, ran.at_client
    return Prepared(gate, spec, y, *shares, (ran.server, ran.client), counters, cots_taken(ends), ran.chains[0])


def dealt_material(
    gate: DealtGate, spec: GateSpec, client_share: Any, fresh_mask: Any, seed0: bytes, seed1: bytes, salt: bytes
) -> tuple[Material, Material]:
    """Both parties' material, with what the backend derives, from fixed seeds."""
    sent = gate.deal(spec, seed0, seed1, salt)
    at_server, at_client = ([memoryview(data) for data in messages] for messages in sent)
    found = tuple(tuple(data.nbytes for data in messages) for messages in (at_server, at_client))
    assert found == tuple(map(tuple, gate.dealt_bytes(spec)))
    theirs, message = gate.client_offline(spec, seed1, salt, client_share, fresh_mask, at_client)
    assert memoryview(message).nbytes == gate.client_message_bytes(spec)
    mine = gate.server_offline(spec, seed0, salt, at_server, memoryview(message))
    derived = {"mask": fresh_mask} if gate.client_takes_mask else {}
    return mine | _seeds(seed0, salt), theirs | _seeds(seed1, salt) | derived


def _seeds(seed: bytes, salt: bytes) -> Material:
    return {"seed": np.frombuffer(seed, np.uint8), "salt": np.frombuffer(salt, np.uint8)}


def drive(prepared: Prepared) -> tuple[Any, ChannelCounters, ChannelCounters]:
    """Run both gates over a memory pair as the executor does: (D, server counters, client counters)."""
    gates, count = prepared.gates(), prepared.spec.count

    def server(channel: Any) -> Any:
        shares = prepared.y_server[None]
        found = serve([gates.server], count, lambda first, length: shares[:, first : first + length], channel)
        return found[0], channel.counters

    def client(channel: Any) -> Any:
        answer([gates.client], count, channel)
        return channel.counters

    (result, server_counters), client_counters = simulate(server, client)
    return result, server_counters, client_counters


def exchange(server: ServerGate, client: ClientGate, share: Any, size: int = CHUNK) -> tuple[list[bytes], list[bytes]]:
    """Run both gates in one thread, chunks of ``size``: the messages down and up."""
    down: list[bytes] = []
    up: list[bytes] = []
    waiting: dict[int, memoryview] = {}
    for step, number, _, first, length in turns(len(share), server.round_trips, size=size):
        if step == "send":
            if number == 0:
                server.load(first, share[first : first + length])
            waiting[first] = server.send(number, first, length)
            server.work(number, first, length)
            assert waiting[first].nbytes == client.message_bytes(number, length)
            down.append(bytes(waiting[first]))
        elif step == "reply":
            waiting[first] = client.reply(number, first, length, waiting[first])
            assert waiting[first].nbytes == server.reply_bytes(number, length)
            up.append(bytes(waiting[first]))
        else:
            server.receive(number, first, length, waiting[first])
    return down, up
