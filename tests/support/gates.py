"""Every ReLU protocol behind one function: material made for given client shares, then the two gates."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from halves import run_halves

from pi_system.channel.memory import simulate
from pi_system.protocols.gate import ClientGate, GateCost, GateSpec, ServerGate
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.ot.ideal import insecure_parties
from pi_system.protocols.relu_dcf import DcfRelu
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW
from pi_system.ring.prg import Prg, fresh_seed
from pi_system.secure.chunks import chunks


class Gates(NamedTuple):
    server: ServerGate
    client: ClientGate
    cost: GateCost


def _dcf(spec: GateSpec, client_share: Any, fresh_mask: Any) -> Gates:
    relu = DcfRelu()
    seed0, seed1, salt = fresh_seed(), fresh_seed(), fresh_seed()
    key, corrections = relu.deal(spec, seed0, seed1, salt)
    packed = relu.mask_share(spec, seed1, salt, client_share)
    masked = relu.receive_masked(spec, seed0, salt, packed.data).view(np.uint8)
    server = relu.server_gate(spec, seed=seed0, salt=salt, key=key, corrections=corrections, masked=masked)
    client = relu.client_gate(spec, seed=seed1, salt=salt, key=key, fresh_mask=fresh_mask)
    return Gates(server, client, relu.cost(spec))


def _ot(relu: OtGate) -> Callable[..., Gates]:
    def make(spec: GateSpec, client_share: Any, fresh_mask: Any) -> Gates:
        server_ots, client_ots = insecure_parties(fresh_seed())
        ran = run_halves(
            relu.offline_server(spec, server_ots, Prg(fresh_seed())),
            relu.offline_client(spec, client_share, fresh_mask, client_ots, Prg(fresh_seed())),
        )
        return Gates(relu.server_gate(spec, ran.server), relu.client_gate(spec, ran.client), relu.cost(spec))

    return make


PROTOCOLS: dict[str, Callable[..., Gates]] = {
    "dcf": _dcf,
    "gmw": _ot(GMW),
    "gc": _ot(GC),
}
STOCHASTIC = {"dcf"}
"""Protocols that round to either neighbour; the others round to the nearest."""
MAX_COMPARISON_BITS = {"gmw": 37}


def drive(gates: Gates, spec: GateSpec, server_share: Any) -> tuple[Any, Any, Any]:
    """Run both gates over a memory pair, chunk by chunk as the executor does: (D, server counters, client counters)."""

    def server(channel: Any) -> Any:
        for first, count in chunks(spec.count):
            gates.server.load(first, server_share[first : first + count])
            channel.send(gates.server.send(0, first, count))
            gates.server.work(0, first, count)
        for exchange in range(gates.server.round_trips):
            for first, count in chunks(spec.count):
                reply = channel.recv(gates.server.reply_bytes(exchange, count))
                gates.server.receive(exchange, first, count, reply)
                if exchange + 1 < gates.server.round_trips:
                    channel.send(gates.server.send(exchange + 1, first, count))
                    gates.server.work(exchange + 1, first, count)
        return gates.server.result(), channel.counters

    def client(channel: Any) -> Any:
        for exchange in range(gates.client.round_trips):
            for first, count in chunks(spec.count):
                message = channel.recv(gates.client.message_bytes(exchange, count))
                channel.send(gates.client.reply(exchange, first, count, message))
        return channel.counters

    (result, server_counters), client_counters = simulate(server, client)
    return result, server_counters, client_counters
