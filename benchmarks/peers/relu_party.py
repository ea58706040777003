"""One party of our ReLU alone, offline phase included, driven by lines of JSON as spu/party.py is.

    python -m peers.relu_party '{"role": "server", "address": HOST:PORT, "backend": "gmw", "spec": {"count": ...}, ...}'

Each run prepares and evaluates one gate of COUNT elements, chunk by chunk as the runtime does. Base OTs and the first
Ferret iterations are made once a session, in the first run; later iterations serve several runs, so the bytes of runs
differ. Inputs are drawn from public seeds: nothing here is secret. The output, in units of the last place, goes to
the client after the clock has stopped.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring.memory import peak_memory_bytes
from measuring.party_channel import connect, traffic
from numpy.typing import NDArray

from pi_system.channel.base import Channel
from pi_system.channel.drive import drive
from pi_system.channel.link import parse_link
from pi_system.channel.shaped import shape
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.ot import OtParty, ot_setup
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW
from pi_system.ring.carrier import Ring, wire
from pi_system.ring.prg import Prg, fresh_seed
from pi_system.secure.turns import answer, serve

METHOD = "ReluAlone"
RELUS = {relu.name: relu for relu in (GMW, GC)}


def expected(spec: GateSpec, index: int) -> NDArray[np.int64]:
    """ReLU of the inputs of run ``index``, shifted."""
    return np.maximum(inputs(spec, index)[0], 0) >> spec.shift


def inputs(spec: GateSpec, index: int) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """y, and the client's y_1 and r, all (count,), of run ``index``."""
    prg, limit = Prg(index.to_bytes(16, "little")), 1 << (spec.comparison_bits - 1)
    y = np.maximum(prg.ring(spec.count, spec.comparison_bits).astype(np.int64) - limit, 1 - limit)
    return y, prg.ring(spec.count, spec.ring_bits), prg.ring(spec.count, spec.ring_bits)


class ReluParty:
    """One end of a session."""

    def __init__(self, role: str, relu: OtGate, spec: GateSpec, channel: Channel):
        """``channel``: to the other party."""
        self._server, self._relu, self._spec, self._channel = role == "server", relu, spec, channel
        self._ots: OtParty | None = None

    def run(self, index: int) -> dict[str, Any]:
        """One gate; what it cost and, at the client, what came out."""
        y, y_client, fresh = inputs(self._spec, index)
        ring = Ring(self._spec.ring_bits)
        self._meet()
        before, start_s = traffic(self._channel), time.perf_counter()
        if self._ots is None:
            self._ots = drive(ot_setup(Prg(fresh_seed())), self._channel)
        share = ring.reduce(ring.from_signed(y) - y_client) if self._server else y_client
        offline_s, result = self._evaluate(self._ots, share, fresh)
        seconds = time.perf_counter() - start_s
        after = traffic(self._channel)
        return {
            "seconds": seconds,
            "offline_seconds": offline_s,
            "traffic": [now - then for now, then in zip(after, before, strict=True)],
            "output": self._open(ring, result).tolist(),
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def _meet(self) -> None:
        self._channel.send(b"!")
        self._channel.recv(1)

    def _evaluate(self, ots: OtParty, share: NDArray[Any], fresh: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        """Seconds of the offline phase and this party's result."""
        start_s, channel, spec, prg = time.perf_counter(), self._channel, self._spec, Prg(fresh_seed())
        if self._server:
            material = drive(self._relu.offline_server(spec, ots, prg), channel)
            offline_s = time.perf_counter() - start_s
            gate = self._relu.server_gate(spec, material)
            (result,) = serve([gate], spec.count, lambda first, length: share[None, first : first + length], channel)
            channel.send(b"!")  # the client's clock stops when the server has its result
            return offline_s, result
        material = drive(self._relu.offline_client(spec, share, fresh, ots, prg), channel)
        offline_s = time.perf_counter() - start_s
        answer([self._relu.client_gate(spec, material)], spec.count, channel)
        channel.recv(1)
        return offline_s, fresh

    def _open(self, ring: Ring, result: NDArray[Any]) -> NDArray[np.int64]:
        """The sum of both results, at the client; empty at the server."""
        if self._server:
            self._channel.send(wire(result))
            return np.zeros(0, np.int64)
        theirs = np.frombuffer(self._channel.recv(result.nbytes), ring.dtype)
        return ring.to_signed(ring.reduce(result + theirs))


def main() -> None:
    """Serve commands until stdin ends."""
    task = json.loads(sys.argv[1])
    channel, end = connect(task["role"], task["address"], METHOD, task["keys"] and Path(task["keys"]))
    relu, spec = RELUS[task["backend"]], GateSpec(**task["spec"])
    party = ReluParty(task["role"], relu, spec, shape(channel, parse_link(task["link"])))
    print(json.dumps({"ready": task["role"]}), flush=True)
    for line in sys.stdin:
        print(json.dumps(party.run(json.loads(line)["run"])), flush=True)
    end()


if __name__ == "__main__":
    main()
