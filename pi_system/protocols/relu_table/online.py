"""Both parties' steps online: those of ``relu_dcf`` with stored tables and shares."""

import numpy as np

from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material
from pi_system.protocols.relu_dcf.gates import DcfClient, DcfServer
from pi_system.ring.carrier import Ring
from pi_system.ring.prg import SEED_BYTES

_NO_SEED = {name: np.zeros(SEED_BYTES, np.uint8) for name in ("seed", "salt")}


class TableServer(DcfServer):
    """Party 0. Material: "key" (table and offsets), "corrections" (its five shares), "masked" (y_1 + r' mod 2^k)."""

    def __init__(self, spec: GateSpec, material: Material):
        """Take over ``material`` of the offline phase."""
        super().__init__(spec, material | _NO_SEED, stored=True)


class TableClient(DcfClient):
    """Party 1. Material: "key" (table and its five shares, r in four of them)."""

    def __init__(self, spec: GateSpec, material: Material):
        """Take over ``material`` of the offline phase."""
        unmasked = {"mask": np.zeros(spec.count, Ring(spec.ring_bits).dtype)}
        super().__init__(spec, material | _NO_SEED | unmasked, stored=True)
