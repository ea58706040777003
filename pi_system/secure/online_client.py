"""The client's side of the online phase: mask the picture, answer gates, add up the result.

No graph is walked here: the client's share of every value is known since the offline phase, so only the gates
are left, in the schedule's order, and the sum that reveals the result. See secure/online_server.py for the whole.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pi_system.channel.base import Channel
from pi_system.channel.profile import profiler_of
from pi_system.protocols.gate import ClientGate, GateSpec
from pi_system.ring.carrier import Ring, RingArray, wire
from pi_system.secure.chunks import chunks

__all__ = ["ClientMaterial", "answer_gates", "open_output", "send_pictures"]


@dataclass(frozen=True, slots=True)
class ClientMaterial:
    """What the client needs of the offline phase, for a batch of N pictures.

    Attributes:
        input_mask: r_0, (N, C * H * W).
        output_share: the client's share of what is opened, (N, classes), of a label (N, 1).
        gates: makes picture ``i``'s gate: ``gates(i, name, spec)``; each is asked for once.
        batch: N.
    """

    input_mask: RingArray
    output_share: RingArray
    gates: Callable[[int, str, GateSpec], ClientGate]
    batch: int


def send_pictures(pictures: NDArray[np.int64], material: ClientMaterial, ring: Ring, server: Channel) -> None:
    """First message: the fixed-point pictures (N, C, H, W) minus their masks."""
    masked = ring.from_signed(pictures.reshape(material.batch, -1)) - material.input_mask
    server.send(wire(ring.reduce(masked)))


def answer_gates(steps: list[tuple[str, GateSpec]], material: ClientMaterial, server: Channel) -> None:
    """Answer every gate of a run, exchange by exchange and chunk by chunk, as the server drives them."""
    watch = profiler_of(server)
    for name, spec in steps:
        watch.enter(name)
        gates = [material.gates(i, name, spec) for i in range(material.batch)]
        for exchange in range(gates[0].round_trips):
            for first, length in chunks(spec.count):
                for gate in gates:
                    message = server.recv(gate.message_bytes(exchange, length))
                    server.send(gate.reply(exchange, first, length, message))
                    server.counters.same_round()
            server.counters.sent_since_receive = True


def open_output(share: RingArray, ring: Ring, server: Channel) -> NDArray[np.int64]:
    """Last message: the server's share of ``share``'s value; returns the signed sum."""
    profiler_of(server).enter("output")
    theirs = np.frombuffer(server.recv(share.nbytes), ring.dtype).reshape(share.shape)
    return ring.to_signed(share + theirs)
