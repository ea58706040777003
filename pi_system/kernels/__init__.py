"""Compiled kernels of the secure runtime: keystream, bit packing, the ReLU gate, convolution in a ring.

The C++ is in ``src`` and becomes the extension module ``_native``; this package is its typed surface. Every kernel
releases the interpreter lock, copies no array, and gives the same bytes on every instruction set; the one in use is
chosen at run time (``use_aes_backend``, or the environment variable ``PI_SYSTEM_AES``).

    keystream.py  AES-128 in counter mode, choice of the AES backend
    packing.py    values of b bits <-> little-endian bit strings
    relu.py       ReLU with truncation from one comparison key: dealer, server and client (byte layouts are there)
    conv.py       convolution in Z_{2^32} and Z_{2^64}
    ot.py         oblivious-transfer extension: transpose, hashing, GGM trees, LPN
    gmw.py        the table and product kernels of ReLU gmw
    garble.py     half-gates garbling and evaluation of ReLU gc
    he.py         arithmetic on RLWE ciphertexts
    cores.py      how many cores they use
    paths.py      which instructions
"""

from pi_system.kernels.keystream import aes_backend, aes_backends, aes_ctr, use_aes_backend
from pi_system.kernels.packing import pack_bits, packed_bytes, unpack_bits
from pi_system.kernels.relu import RELU_BLOCK, ReluGate

__all__ = [
    "RELU_BLOCK",
    "ReluGate",
    "aes_backend",
    "aes_backends",
    "aes_ctr",
    "pack_bits",
    "packed_bytes",
    "unpack_bits",
    "use_aes_backend",
]
