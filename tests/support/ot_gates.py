"""One gate after its offline phase, all of its randomness fixed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from halves import run_halves
from numpy.typing import NDArray

from pi_system.channel.base import ChannelCounters
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import Half
from pi_system.protocols.material import Material
from pi_system.protocols.ot import ot_setup
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.ot.ideal import insecure_parties
from pi_system.ring.prg import Prg

SEED = b"0123456789abcdef"


@dataclass
class Prepared:
    """Inputs, both parties' material, and their counters in the phase that made it (none: a dealer did)."""

    y: NDArray[np.int64]
    y_server: NDArray[Any]
    fresh_mask: NDArray[Any]
    material: tuple[Material, Material]
    counters: tuple[ChannelCounters, ChannelCounters] | None = None


def share(spec: GateSpec, y: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The server's share of y, with bits above l, which must not count; the client's; the client's new mask."""
    prg = Prg(SEED)
    y_client, fresh_mask = prg.ring(spec.count, spec.ring_bits), prg.ring(spec.count, spec.ring_bits)
    return y.astype(np.uint64).astype(y_client.dtype) - y_client, y_client, fresh_mask


def prepare(gate: OtGate, spec: GateSpec, y: NDArray[np.int64], *, silent: bool = False) -> Prepared:
    """Offline phase over ideal OTs, or real ones when ``silent``."""
    y_server, y_client, fresh_mask = share(spec, y)
    ends = insecure_parties(SEED)

    def server() -> Half[Material]:
        ots = (yield from ot_setup(Prg(SEED))) if silent else ends[0]
        return (yield from gate.offline_server(spec, ots, Prg(b"s" * 16)))

    def client() -> Half[Material]:
        ots = (yield from ot_setup(Prg(b"o" * 16))) if silent else ends[1]
        return (yield from gate.offline_client(spec, y_client, fresh_mask, ots, Prg(b"c" * 16)))

    ran = run_halves(server(), client())
    return Prepared(y, y_server, fresh_mask, (ran.server, ran.client), (ran.at_server, ran.at_client))
