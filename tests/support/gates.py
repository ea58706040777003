"""Every protocol of a gate behind one function: material made for given client shares, then the two gates."""

from typing import Any, NamedTuple

import numpy as np
from halves import run_halves

from pi_system.channel.memory import simulate
from pi_system.protocols.dealt import DealtGate
from pi_system.protocols.gate import GateCost, GateSpec
from pi_system.protocols.material import Material
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.ot.ideal import insecure_parties
from pi_system.protocols.phases import ClientGate, ServerGate
from pi_system.protocols.relu_dcf import dcf_gate
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW
from pi_system.protocols.square import DEALT_SQUARE, SQUARE
from pi_system.ring.prg import Prg, fresh_seed
from pi_system.secure.turns import CHUNK, answer, serve, turns

RELUS: dict[str, OtGate | DealtGate] = {"dcf": dcf_gate(), "gmw": GMW, "gc": GC}
SQUARES: dict[str, OtGate | DealtGate] = {"dealt": DEALT_SQUARE, "gilboa": SQUARE}
STOCHASTIC = {"dcf"}
"""Protocols that round to either neighbour; the others round to the nearest."""
MAX_COMPARISON_BITS = {"gmw": 37}


class Gates(NamedTuple):
    server: ServerGate
    client: ClientGate
    cost: GateCost


def make(gate: OtGate | DealtGate, spec: GateSpec, client_share: Any, fresh_mask: Any) -> Gates:
    """Both gates after an offline phase of fresh randomness."""
    if isinstance(gate, DealtGate):
        mine, theirs = dealt_material(gate, spec, client_share, fresh_mask, *(fresh_seed() for _ in range(3)))
    else:
        mine, theirs = ot_material(gate, spec, client_share, fresh_mask)
    return Gates(gate.server_gate(spec, mine), gate.client_gate(spec, theirs), gate.cost(spec))


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


def ot_material(gate: OtGate, spec: GateSpec, client_share: Any, fresh_mask: Any) -> tuple[Material, Material]:
    """Both parties' material over ideal OTs."""
    server_ots, client_ots = insecure_parties(fresh_seed())
    ran = run_halves(
        gate.offline_server(spec, server_ots, Prg(fresh_seed())),
        gate.offline_client(spec, client_share, fresh_mask, client_ots, Prg(fresh_seed())),
    )
    return ran.server, ran.client


def drive(gates: Gates, spec: GateSpec, server_share: Any) -> tuple[Any, Any, Any]:
    """Run both gates over a memory pair as the executor does: (D, server counters, client counters)."""

    def server(channel: Any) -> Any:
        shares = server_share[None]
        found = serve([gates.server], spec.count, lambda first, length: shares[:, first : first + length], channel)
        return found[0], channel.counters

    def client(channel: Any) -> Any:
        answer([gates.client], spec.count, channel)
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
