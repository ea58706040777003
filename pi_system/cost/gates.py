"""What each gate protocol puts on the wire and asks of both parties, chunk by chunk.

Bytes are the protocols' own declarations, asked for one chunk. Work is in units whose prices calibration
finds; how it is spread over the phases of an exchange follows what each phase does:

    protocol  unit             server sends   server works   client replies   server finishes
    dcf       level (K n)      all                           all
              element (n)                                    1                1
    gmw       element (n)      1/4            0              1/4              1/4, both exchanges
    gc        wire (k n)       1/16                          all
    square    element (n)                     1              1                1

and ``PROTOCOL_call``: one call of a phase and what it costs in Python, whatever the size of the chunk.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pi_system.backends.fss.gates import fss_gates
from pi_system.backends.two_party.gates import TWO_PARTY_GATES
from pi_system.cost.work import Work, work
from pi_system.errors import ConfigError
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.record import GateProtocol
from pi_system.secure.schedule import Gates


@dataclass(frozen=True, slots=True)
class Phases:
    """Work of one chunk in one exchange."""

    send: Work
    work: Work
    reply: Work
    receive: Work


def _dcf(spec: GateSpec, count: int) -> Phases:
    level = {"fss_call": 1.0, "fss_level": float(spec.opened_bits * count)}
    last = {"fss_call": 1.0, "fss_element": float(count)}
    return Phases(work(**level), work(), work(**level, fss_element=count), work(**last))


def _gmw(spec: GateSpec, count: int) -> Phases:
    part = work(gmw_call=1, gmw_element=count / 4)
    return Phases(part, work(), part, part)


def _gc(spec: GateSpec, count: int) -> Phases:
    wires = spec.comparison_bits * count
    return Phases(work(gc_call=1, gc_wire=wires / 16), work(), work(gc_call=1, gc_wire=wires), work(gc_call=1))


def _square(spec: GateSpec, count: int) -> Phases:
    call, element = work(square_call=1), work(square_call=1, square_element=count)
    return Phases(call, element, element, element)


GATES: Final[Mapping[str, Gates]] = {"fss": fss_gates(), **TWO_PARTY_GATES}
"""The backends of the fast runtime and what serves their gates."""
_PHASES: Final[Mapping[str, Callable[[GateSpec, int], Phases]]] = {
    "dcf": _dcf,
    "gmw": _gmw,
    "gc": _gc,
    "square": _square,
}
"""(spec, elements) to the work of a chunk in each exchange, by protocol."""
_PREPARED: Final[Mapping[str, Callable[[GateSpec], Work]]] = {
    "dcf": lambda spec: work(dealt_level=spec.opened_bits * spec.count),
    "gmw": lambda spec: work(gmw_prepared=spec.count),
    "gc": lambda spec: work(gc_prepared=spec.comparison_bits * spec.count),
    "square": lambda spec: work(),
}
"""By protocol."""


def gate_of(backend: str, spec: GateSpec) -> GateProtocol:
    """What serves a gate under ``backend``. Raises ConfigError for a backend that is not of the fast runtime."""
    if backend not in GATES:
        raise ConfigError(f"cost model: expected one of {', '.join(GATES)}, found {backend}")
    return GATES[backend][spec.kind]


def prepared(gate: GateProtocol, spec: GateSpec) -> Work:
    """The work of preparing a gate offline, beside its bytes and OTs."""
    return _PREPARED[gate.name](spec)


def phases_of(gate: GateProtocol, spec: GateSpec, count: int) -> Phases:
    """The work of a chunk of ``count`` elements in each exchange."""
    return _PHASES[gate.name](spec, count)
