"""Microsoft SEAL, through TenSEAL's binding, as an oracle: it works under a secret key that a test knows.

The binding takes objects only as files in SEAL's format (SEAL 4, native/src/seal/serialization.h, plaintext.h,
ciphertext.cpp): a header of 16 bytes, then a body of little-endian words. What SEAL made is read value by value.
"""

import os
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import tenseal.sealapi as sealapi

from pi_system.kernels.he import expand_seed
from pi_system.kernels.packing import Words
from pi_system.protocols.linear_he.key import SecretKey
from pi_system.protocols.linear_he.params import HeParams
from pi_system.ring.prg import Prg

_HEADER = struct.Struct("<HBBBBHQ")
_MAGIC = 0xA15E
_NO_ID = bytes(32)
MAX_PLAIN_BITS = 59
_SPECIAL_BITS = 60  # more than any prime of ours


class Seal:
    """One secret, one ciphertext modulus."""

    def __init__(self, degree: int, primes: tuple[int, ...], ring_bits: int, secret: npt.NDArray[np.int64]) -> None:
        """``secret``: (n,) ternary coefficients."""
        self._degree, self._primes = degree, primes
        (special,) = largest_primes(degree, [_SPECIAL_BITS])  # SEAL sets a context's last prime apart to switch keys
        parameters = _parameters(degree, (*primes, special), ring_bits)
        self._context = sealapi.SEALContext(parameters, False, sealapi.SEC_LEVEL_TYPE.NONE)
        modulus = np.uint64(1 << ring_bits)
        key = self._plaintext(np.where(secret < 0, modulus - np.uint64(1), secret.astype(np.uint64)))
        sealapi.Evaluator(self._context).transform_to_ntt_inplace(key, self._context.key_parms_id())
        self._key = sealapi.SecretKey()
        with _MemoryFile() as path:
            key.save(path)  # a secret key is a plaintext in this form
            self._key.load(self._context, path)
        self._decryptor = sealapi.Decryptor(self._context, self._key)

    def encrypt(self, polynomial: Words) -> Words:
        """A ciphertext of SEAL's, (2, primes, n) residues."""
        found = sealapi.Ciphertext()
        with _MemoryFile() as path:
            sealapi.Encryptor(self._context, self._key).encrypt_symmetric(self._plaintext(polynomial)).save(path)
            found.load(self._context, path)
        shape = (2, len(self._primes), self._degree)
        return np.array([found[i] for i in range(int(np.prod(shape)))], np.uint64).reshape(shape)

    def decrypt(self, ciphertext: Words) -> Words:
        """What SEAL decrypts, (n,)."""
        found = sealapi.Plaintext()
        self._decryptor.decrypt(self._ciphertext(ciphertext), found)
        out = np.zeros(self._degree, np.uint64)
        out[: found.coeff_count()] = [found[i] for i in range(found.coeff_count())]
        return out

    def noise_budget(self, ciphertext: Words) -> int:
        """Bits, rounded down, by SEAL's own measure."""
        return int(self._decryptor.invariant_noise_budget(self._ciphertext(ciphertext)))

    def _plaintext(self, coefficients: Words) -> Any:
        plaintext = sealapi.Plaintext()
        return self._loaded(plaintext, _NO_ID + struct.pack("<Qd", self._degree, 1.0) + _words(coefficients))

    def _ciphertext(self, residues: Words) -> Any:
        parms_id = struct.pack("<4Q", *self._context.first_context_data().parms_id())
        head = struct.pack("<32s?QQQdQ", parms_id, False, 2, self._degree, len(self._primes), 1.0, 1)
        return self._loaded(sealapi.Ciphertext(), head + _words(residues))

    def _loaded(self, into: Any, body: bytes) -> Any:
        with _MemoryFile(_headed(body)) as path:
            into.load(self._context, path)
        return into


def encrypted(key: SecretKey, params: HeParams, polynomial: Words) -> Words:
    """A ciphertext of ours, (2, primes, n) residues."""
    halves = np.empty((2, len(params.primes), params.degree), np.uint64)
    expand_seed(key.encrypt(polynomial, halves[0]), params.primes, halves[1])
    return halves


def secret_of(params: HeParams, prg: Prg) -> npt.NDArray[np.int64]:
    """The coefficients of the secret that ``SecretKey(params, prg)`` draws, by its words' definition."""
    words = prg.child("linear_he.secret").ring(params.degree, 64)
    return np.array([(3 * int(word) >> 64) - 1 for word in words], np.int64)


def accepts_at_128_bits(degree: int, primes: tuple[int, ...], ring_bits: int) -> bool:
    """Whether SEAL takes the modulus as 128 bits of security by the table of the standard of 2018."""
    context = sealapi.SEALContext(_parameters(degree, primes, ring_bits), False, sealapi.SEC_LEVEL_TYPE.TC128)
    return bool(context.parameters_set())


def largest_primes(degree: int, bits: list[int]) -> set[int]:
    """The primes that SEAL takes for these sizes."""
    return {int(modulus.value()) for modulus in sealapi.CoeffModulus.Create(degree, bits)}


def _parameters(degree: int, primes: tuple[int, ...], ring_bits: int) -> Any:
    parameters = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.BFV)
    parameters.set_poly_modulus_degree(degree)
    parameters.set_coeff_modulus([sealapi.Modulus(p) for p in primes])
    parameters.set_plain_modulus(1 << ring_bits)
    return parameters


def _headed(body: bytes) -> bytes:
    version = sealapi.Serialization.SEALHeader()
    size = _HEADER.size + len(body)
    return _HEADER.pack(_MAGIC, _HEADER.size, version.version_major, version.version_minor, 0, 0, size) + body


def _words(values: Words) -> bytes:
    return _headed(struct.pack("<Q", values.size) + values.astype("<u8").tobytes())


class _MemoryFile:
    """A file that is nowhere on disk, with a path that SEAL can open."""

    def __init__(self, data: bytes = b"") -> None:
        self._descriptor = os.memfd_create("seal")
        os.write(self._descriptor, data)

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
