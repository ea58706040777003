"""Which protocols serve the gates of ``gmw``, ``gc`` and ``table``: each its own ReLU, the same square."""

from collections.abc import Mapping
from typing import Final

from pi_system.errors import ConfigError
from pi_system.protocols.gate import GateKind
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW
from pi_system.protocols.relu_table import table_gate
from pi_system.protocols.square import SQUARE
from pi_system.secure.schedule import Gate, Schedule

OtGates = Mapping[GateKind, OtGate]
"""Which protocol serves a backend's gates of a kind."""

TWO_PARTY_GATES: Final[Mapping[str, OtGates]] = {
    **{relu.name: {"relu": relu, "exact": relu, "square": SQUARE} for relu in (GMW, GC)},
    "table": {"relu": table_gate(), "exact": GMW, "square": SQUARE},
}
"""By the backend's name. Label and scores compare all bits of a logit, too many for a table."""


def too_wide(backend: str, schedule: Schedule) -> Gate | None:
    """The first gate that compares more bits than the backend's protocol takes; only ``table`` asks for few."""
    gates = TWO_PARTY_GATES[backend]
    wide = (gate for gate in schedule.gates if gate.spec.compared_bits > gates[gate.spec.kind].most_compared)
    return next(wide, None)


def check_compared_bits(backend: str, schedule: Schedule) -> None:
    """Raise ConfigError where ``too_wide`` finds a gate."""
    if gate := too_wide(backend, schedule):
        most = TWO_PARTY_GATES[backend][gate.spec.kind].most_compared
        raise ConfigError(
            f"backend {backend}: expected at most {most} compared bits at every ReLU and max-pool, found "
            f"{gate.spec.compared_bits} at {gate.name}; pi-train export --compare-bits {most} writes such an artifact"
        )
