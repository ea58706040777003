"""What each gate protocol puts on the wire and asks of both parties, chunk by chunk.

Bytes are the protocols' own declarations (GateCost), asked for one chunk. Work is in units whose prices calibration
finds; how it is spread over the phases of an exchange follows what each phase does:

    protocol  unit             server sends   server works   client replies   server finishes
    fss       level (K n)      all                           all
              element (n)                                    1                1
    gmw       element (n)      1/4            0              1/4              1/4, both exchanges
    gc        wire (k n)       1/16                          all
    square    element (n)                     1              1                1

and ``PROTOCOL_call``: one call of a phase and what it costs in Python, whatever the size of the chunk.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pi_system.cost.work import Work, work
from pi_system.errors import ConfigError
from pi_system.protocols.gate import GateCost, GateSpec
from pi_system.protocols.relu_dcf import DcfRelu
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW
from pi_system.protocols.relu_gmw.cost import message_bytes, reply_bytes
from pi_system.protocols.square import SQUARE

__all__ = ["DEALT", "RELUS", "GateModel", "Phases", "gate_model"]


@dataclass(frozen=True, slots=True)
class Phases:
    """Work of one chunk in one exchange."""

    send: Work
    work: Work
    reply: Work
    receive: Work


@dataclass(frozen=True, slots=True)
class GateModel:
    """One protocol.

    Attributes:
        cost: its declaration.
        phases: (spec, elements) to the work of a chunk in each exchange.
        messages: (spec, exchange) to bytes down and up; None: the declared bytes in equal parts.
    """

    cost: Callable[[GateSpec], GateCost]
    phases: Callable[[GateSpec, int], Phases]
    messages: Callable[[GateSpec, int], tuple[int, int]] | None = None

    def bytes_of(self, spec: GateSpec, count: int) -> list[tuple[int, int]]:
        """Bytes (down, up) of a chunk of ``count`` elements in each exchange."""
        chunk = replace(spec, count=count)
        declared = self.cost(chunk)
        if self.messages is not None:
            return [self.messages(chunk, exchange) for exchange in range(declared.round_trips)]
        trips = declared.round_trips
        return [(declared.server_to_client_bytes // trips, declared.client_to_server_bytes // trips)] * trips


def _fss(spec: GateSpec, count: int) -> Phases:
    level = {"fss_call": 1.0, "fss_level": float(spec.opened_bits * count)}
    last = {"fss_call": 1.0, "fss_element": float(count)}
    return Phases(work(**level), work(), work(**level, fss_element=count), work(**last))


def _gmw(spec: GateSpec, count: int) -> Phases:
    part = work(gmw_call=1, gmw_element=count / 4)
    return Phases(part, work(), part, part)


def _gc(spec: GateSpec, count: int) -> Phases:
    wires = spec.comparison_bits * count
    return Phases(work(gc_call=1, gc_wire=wires / 16), work(), work(gc_call=1, gc_wire=wires), work(gc_call=1))


def _gmw_messages(spec: GateSpec, exchange: int) -> tuple[int, int]:
    return message_bytes(spec, exchange, spec.count), reply_bytes(spec, exchange, spec.count)


def _square(spec: GateSpec, count: int) -> Phases:
    call, element = work(square_call=1), work(square_call=1, square_element=count)
    return Phases(call, element, element, element)


DEALT: Final[Mapping[str, DcfRelu]] = {"fss": DcfRelu()}
"""Backends with a dealer and their ReLU."""
RELUS: Final[Mapping[str, GateModel]] = {
    "fss": GateModel(DEALT["fss"].cost, _fss),
    "gmw": GateModel(GMW.cost, _gmw, _gmw_messages),
    "gc": GateModel(GC.cost, _gc),
}
"""ReLU of every backend of the fast runtime."""
_OTHERS: Final[Mapping[str, GateModel]] = {"square": GateModel(SQUARE.cost, _square)}
"""Gates that are the same for all backends, by kind."""


def gate_model(backend: str, spec: GateSpec) -> GateModel:
    """How ``backend`` runs a gate. Raises ConfigError for a backend that is not of the fast runtime."""
    if backend not in RELUS:
        raise ConfigError(f"cost model: expected one of {', '.join(RELUS)}, found {backend}")
    return RELUS[backend] if spec.kind == "relu" else _OTHERS[spec.kind]
