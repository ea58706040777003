"""Which protocols serve the gates of ``gmw``, ``gc`` and ``table``: each its own ReLU, the same square."""

from collections.abc import Mapping
from typing import Final

from pi_system.protocols.gate import GateKind
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW
from pi_system.protocols.relu_table import TABLE
from pi_system.protocols.square import SQUARE

OtGates = Mapping[GateKind, OtGate]
"""Which protocol serves a backend's gates of a kind."""

TWO_PARTY_GATES: Final[Mapping[str, OtGates]] = {
    **{relu.name: {"relu": relu, "exact": relu, "square": SQUARE} for relu in (GMW, GC)},
    "table": {"relu": TABLE, "exact": GMW, "square": SQUARE},
}
"""By the backend's name. Label and scores compare all bits of a logit, too many for a table."""
