"""Which protocols serve the gates of ``fss``, the sizes of a step's messages, and the seeds of a picture."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from pi_system.protocols.dealt import DealtGate
from pi_system.protocols.gate import GateKind
from pi_system.protocols.material import Material
from pi_system.protocols.relu_dcf import DCF
from pi_system.protocols.square import DEALT_SQUARE
from pi_system.protocols.truncation import client_message_bytes
from pi_system.ring.carrier import Ring
from pi_system.secure.layout import Bundle
from pi_system.secure.schedule import Gate, Remask, Step, Truncation, Weighted
from pi_system.secure.seeds import gate_salt, party_seed

DealtGates = Mapping[GateKind, DealtGate]
"""Which protocol serves a backend's gates of a kind."""

FSS_GATES: Final[DealtGates] = {"relu": DCF, "exact": DCF, "square": DEALT_SQUARE}

SEEDS: Final = ("seed", "salt")
"""What a bundle holds of each picture: the party's seed, and the public salt."""


def gate_seeds(bundle: Bundle, name: str) -> Material:
    """Seed and salt of one gate, for its online phase."""
    salt = bundle.section("salt").tobytes()
    seeds = {"seed": party_seed(bundle).gate_seed(name), "salt": gate_salt(salt, name)}
    return {part: np.frombuffer(data, np.uint8) for part, data in seeds.items()}


class Sizes(NamedTuple):
    """Bytes of a step's messages, in their order."""

    to_server: Sequence[int] = ()
    """From the dealer."""
    to_client: Sequence[int] = ()
    """From the dealer."""
    up: Sequence[int] = ()
    """From the client to the server."""


def sizes(step: Step, gates: DealtGates, ring: Ring) -> Sizes:
    """What is sent at a step of the schedule; each link's messages come in this order."""
    match step:
        case Weighted():  # B * r - c_s
            return Sizes(to_client=(step.outputs * ring.itemsize,))
        case Gate(_, spec):
            gate = gates[spec.kind]
            return Sizes(*gate.dealt_bytes(spec), (gate.client_message_bytes(spec),))
        case Truncation(_, spec):  # (r' >> t) + r; y_1 + rho_c
            message = (client_message_bytes(spec),)
            return Sizes(to_server=message, up=message)
        case Remask():  # y_1 - r
            return Sizes(up=(step.count * ring.itemsize,))
    return Sizes()
