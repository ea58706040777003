"""The part of Microsoft SEAL this protocol uses: parameters, key pair, encryption, decryption.

SEAL is reached through TenSEAL's binding of its C++ interface. That binding exchanges objects only as files in SEAL's
serialised format, so they pass through a file in memory. The format (SEAL 4, native/src/seal/serialization.h and
ciphertext.cpp): a header of 16 bytes, then, compressed or not, a body of 64-bit little-endian words.

A fresh ciphertext's second half is pseudo-random from a public seed, which is sent in its place; the kernel
``expand_seed`` derives it as SEAL does, so that the server needs no SEAL at all. A test compares the two.

The context has one prime more than the ciphertexts: SEAL sets the last prime of a context apart for switching keys.
No key, ciphertext or public sample made here uses it, so security is that of the other primes alone, which params.py
chooses; ``SealClient`` has SEAL check them against its own, less strict table.
"""

import ctypes
import os
import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tenseal.sealapi as sealapi

from pi_system.errors import ConfigError, InvariantError, RemoteProtocolError
from pi_system.kernels.he import SEED_BYTES

__all__ = ["SealClient", "make_primes"]

Words = npt.NDArray[np.uint64]

_SPECIAL_BITS: Final = 30
_HEADER: Final = struct.Struct("<HBBBBHQ")
_MAGIC: Final = 0xA15E
_CIPHERTEXT_HEAD: Final = struct.Struct("<32s?QQQdQ")
_WORDS_HEAD: Final = _HEADER.size + 8
_BLAKE2XB: Final = 1


def make_primes(degree: int, bits: list[int]) -> tuple[int, ...]:
    """Distinct primes of these sizes that are 1 modulo 2 * degree."""
    return tuple(int(m.value()) for m in sealapi.CoeffModulus.Create(degree, bits))


class SealClient:
    """The client's key pair, encryption and decryption. Holds the secret key; nothing here is ever logged.

    Not for use by several threads at once.
    """

    def __init__(self, degree: int, primes: tuple[int, ...], kept: int, ring_bits: int):
        """Make a key pair.

        Args:
            degree: n.
            primes: the ciphertext modulus.
            kept: primes of the answers, the first ones.
            ring_bits: plaintext modulus 2^ring_bits.

        Raises:
            ConfigError: SEAL refuses the parameters at 128-bit security.
        """
        self._degree, self._primes, self._kept = degree, primes, kept
        candidates = make_primes(degree, [*(p.bit_length() for p in primes), _SPECIAL_BITS])
        special = sealapi.Modulus(next(p for p in candidates if p not in primes))
        moduli = [sealapi.Modulus(p) for p in primes]
        strict = sealapi.SEALContext(_parameters(degree, moduli, ring_bits), False, sealapi.SEC_LEVEL_TYPE.TC128)
        parameters = _parameters(degree, [*moduli, special], ring_bits)
        self._context = sealapi.SEALContext(parameters, True, sealapi.SEC_LEVEL_TYPE.NONE)
        for context in (strict, self._context):
            if not context.parameters_set():
                raise ConfigError(f"encryption parameters: expected valid, found {context.parameters_error_message()}")
        secret = sealapi.KeyGenerator(self._context).secret_key()
        self._encryptor = sealapi.Encryptor(self._context, secret)
        self._decryptor = sealapi.Decryptor(self._context, secret)
        self._file = _MemoryFile()
        self._answer_head = self._head_of_level(kept)

    def encrypt(self, coefficients: Words) -> tuple[bytes, Words]:
        """Encrypt a polynomial, (n,) values below 2^ring_bits.

        Returns:
            The seed of the second half and the first half, (primes, n) residues.
        """
        body = bytes(32) + struct.pack("<Qd", self._degree, 1.0) + _words(coefficients)
        plaintext = sealapi.Plaintext()
        plaintext.load(self._context, self._file.put(_headed(body)))
        return self._saved(self._encryptor.encrypt_symmetric(plaintext))

    def encrypt_zero(self) -> tuple[bytes, Words]:
        """Encrypt zero: a public key, for the server's re-randomisation."""
        return self._saved(self._encryptor.encrypt_zero_symmetric())

    def decrypt(self, first: Words, second: Words) -> Words:
        """Decrypt an answer; the residues are (kept, n) each.

        Returns:
            (n,) values below 2^ring_bits.

        Raises:
            RemoteProtocolError: SEAL does not accept the ciphertext.
        """
        ciphertext, plaintext = sealapi.Ciphertext(), sealapi.Plaintext()
        body = self._answer_head + _words(np.concatenate((first, second)))
        try:
            ciphertext.load(self._context, self._file.put(_headed(body)))
            self._decryptor.decrypt(ciphertext, plaintext)
        except (RuntimeError, ValueError, IndexError):
            raise RemoteProtocolError("expected a ciphertext that decrypts, found one that SEAL refuses") from None
        plaintext.save(self._file.path)
        saved = _body(self._file.get(), 40 + _WORDS_HEAD + 8 * self._degree + 8)
        found = np.frombuffer(saved, "<u8", offset=32 + 8 + 8 + _WORDS_HEAD)
        out = np.zeros(self._degree, np.uint64)
        out[: found.size] = found
        return out

    def _saved(self, ciphertext: Any) -> tuple[bytes, Words]:
        ciphertext.save(self._file.path)
        count = self._degree * len(self._primes)
        size = _CIPHERTEXT_HEAD.size + _WORDS_HEAD + 8 * count + _HEADER.size + 1 + SEED_BYTES
        body = _body(self._file.get(), size)
        if len(body) != size or body[-SEED_BYTES - 1] != _BLAKE2XB:
            raise InvariantError(f"SEAL's format: expected {size} bytes and a BLAKE2Xb seed, found {len(body)}")
        words = np.frombuffer(body, "<u8", count, _CIPHERTEXT_HEAD.size + _WORDS_HEAD)
        return bytes(body[-SEED_BYTES:]), words.reshape(len(self._primes), self._degree)

    def _head_of_level(self, primes: int) -> bytes:
        """Everything before the words of an answer's body."""
        data = self._context.first_context_data()
        while len(data.parms().coeff_modulus()) > primes:
            data = data.next_context_data()
        parms_id = struct.pack("<4Q", *data.parms_id())
        return _CIPHERTEXT_HEAD.pack(parms_id, False, 2, self._degree, primes, 1.0, 1)


class _MemoryFile:
    """A file that is nowhere on disk, with a path that SEAL can open."""

    def __init__(self) -> None:
        if not hasattr(os, "memfd_create"):
            raise ConfigError("homomorphic encryption: expected an operating system with memory files (Linux)")
        self._descriptor = os.memfd_create("linear_he")
        self.path = f"/proc/self/fd/{self._descriptor}"

    def put(self, data: bytes) -> str:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, data, 0)
        return self.path

    def get(self) -> bytes:
        return os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def _parameters(degree: int, moduli: list[Any], ring_bits: int) -> Any:
    parameters = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.BFV)
    parameters.set_poly_modulus_degree(degree)
    parameters.set_coeff_modulus(moduli)
    parameters.set_plain_modulus(1 << ring_bits)
    return parameters


def _headed(body: bytes) -> bytes:
    version = sealapi.Serialization.SEALHeader()
    size = _HEADER.size + len(body)
    return _HEADER.pack(_MAGIC, _HEADER.size, version.version_major, version.version_minor, 0, 0, size) + body


def _words(values: Words) -> bytes:
    """A serialised array of words, with its own header and length."""
    return _headed(struct.pack("<Q", values.size) + values.astype("<u8", copy=False).tobytes())


def _body(saved: bytes, largest: int) -> memoryview:
    """What SEAL saved, without header and compression; at most ``largest`` bytes."""
    if len(saved) < _HEADER.size:
        raise InvariantError(f"SEAL's format: expected a header of {_HEADER.size} bytes, found {len(saved)}")
    magic, _, _, _, mode, _, _ = _HEADER.unpack_from(saved)
    if magic != _MAGIC:
        raise InvariantError(f"SEAL's format: expected magic {_MAGIC:#x}, found {magic:#x}")
    packed = saved[_HEADER.size :]
    if mode == 0:
        return memoryview(packed)
    out = np.empty(largest, np.uint8)
    size = _zstd_decompress(out.ctypes.data, largest, packed, len(packed))
    if mode != 2 or size > largest:
        raise InvariantError(f"SEAL's format: expected a Zstandard frame, found mode {mode}")
    return out.data[:size]


def _load_zstd() -> Any:
    """The decompressor inside TenSEAL's library: the one its own ``load`` uses."""
    library = ctypes.CDLL(sealapi._sealapi_cpp.__file__)
    function = getattr(library, "ZSTD_decompress", None)
    if function is None:
        raise ConfigError("homomorphic encryption: expected a TenSEAL whose library exports ZSTD_decompress")
    function.restype = ctypes.c_size_t
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    return function


_zstd_decompress: Final = _load_zstd()
