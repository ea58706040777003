"""Both parties' steps online: those of ``relu_dcf`` with stored tables and shares."""

from functools import lru_cache

import numpy as np

from pi_system.kernels import ReluGate
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.material import Material
from pi_system.protocols.relu_dcf.gates import DcfClient, DcfServer
from pi_system.protocols.relu_table.shape import shape_of
from pi_system.ring.prg import SEED_BYTES

_NO_SEED = {name: np.zeros(SEED_BYTES, np.uint8) for name in ("seed", "salt")}


@lru_cache(maxsize=256)
def stored_kernel(spec: GateSpec, threads: int = 1) -> ReluGate:
    """The kernel. Raises ConfigError for too many compared bits."""
    shape_of(spec)
    return ReluGate(
        ring_bits=spec.ring_bits,
        comparison_bits=spec.comparison_bits,
        shift=spec.shift,
        unseen_bits=spec.unseen_bits,
        threads=threads,
        stored=True,
    )


class TableServer(DcfServer):
    """Party 0. Material: "key" (table and offsets), "corrections" (its five shares), "masked" (y_1 + r' mod 2^k)."""

    def __init__(self, spec: GateSpec, material: Material, *, threads: int = 1):
        """``threads``: cores the kernels use."""
        super().__init__(spec, material | _NO_SEED, kernel=stored_kernel(spec, threads))


class TableClient(DcfClient):
    """Party 1. Material: "key" (table and its five shares, r in four of them)."""

    def __init__(self, spec: GateSpec, material: Material, *, threads: int = 1):
        """``threads``: cores the kernels use."""
        kernel = stored_kernel(spec, threads)
        unmasked = {"mask": np.zeros(spec.count, kernel.ring_dtype)}
        super().__init__(spec, material | _NO_SEED | unmasked, kernel=kernel)
