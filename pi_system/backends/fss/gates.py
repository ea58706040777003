"""Which protocols serve the gates of ``fss``, and the seeds that both parties keep of a picture."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from pi_system.protocols.dealt import DealtGate
from pi_system.protocols.gate import GateKind
from pi_system.protocols.material import Material
from pi_system.protocols.relu_dcf import dcf_gate
from pi_system.protocols.square import DEALT_SQUARE
from pi_system.secure.layout import Bundle
from pi_system.secure.seeds import PartySeed, gate_salt

__all__ = ["SEEDS", "DealtGates", "fss_gates", "gate_seeds"]

DealtGates = Mapping[GateKind, DealtGate]
"""Which protocol serves a backend's gates of a kind."""

SEEDS: Final = ("seed", "salt")
"""What a bundle holds of each picture: the party's seed, and the public salt."""


def fss_gates(*, threads: int = 1) -> DealtGates:
    """The protocols; ``threads``: cores their kernels use."""
    return {"relu": dcf_gate(threads=threads), "square": DEALT_SQUARE}


def gate_seeds(bundle: Bundle, name: str) -> Material:
    """Seed and salt of one gate, for its online phase."""
    seed, salt = (bundle.section(part).tobytes() for part in SEEDS)
    seeds = {"seed": PartySeed(seed).gate_seed(name), "salt": gate_salt(salt, name)}
    return {part: np.frombuffer(data, np.uint8) for part, data in seeds.items()}
