"""Which instructions of this machine the kernels use, whose times differ by that more than by anything else."""

import numpy as np

from pi_system.kernels.conv import conv_paths
from pi_system.kernels.keystream import aes_backend


def chosen_paths() -> dict[str, str]:
    """The path in use by kernel: ``aes``, and ``conv_32`` and ``conv_64`` for weights of 16 bits."""
    return {
        "aes": aes_backend(),
        "conv_32": conv_paths(np.uint32, small=True)[0],
        "conv_64": conv_paths(np.uint64, small=True)[0],
    }
