"""The client's secret key: symmetric BFV encryption, whose ciphertexts the server multiplies by its weights.

A ciphertext is (q / 2^l m + e - a s, a): s of uniform ternary coefficients, e centred binomial with standard deviation
sqrt(10.5) = 3.24, a uniform from a public seed that is sent in its place. The guidelines that params.py cites assume
3.19 and ternary secrets; attacks see the width of an error, not its shape, and SEAL 4 chooses the same one. The
arithmetic is kernels/he.py, in constant time; tests hold it against SEAL.
"""

import numpy as np
import numpy.typing as npt

from pi_system.kernels.he import SEED_BYTES, RlweContext, expand_seed
from pi_system.kernels.packing import Words
from pi_system.protocols.linear_he.params import HeParams
from pi_system.ring.prg import Prg


class SecretKey:
    """A secret key, encryption and decryption. Not for use by several threads at once."""

    def __init__(self, params: HeParams, prg: Prg):
        """Draw the secret.

        Args:
            params: of the encryption.
            prg: of this key alone: secret, errors and seeds are its children. Those of seeds are public, and one
                stream, so that many ciphertexts are one target for who looks for the key of a stream.
        """
        self._params, self._context = params, RlweContext(params.degree, params.primes)
        self._errors, self._seeds = prg.child("linear_he.errors"), prg.child("linear_he.seeds")
        self._secret = self._context.secret_key(self._words(prg.child("linear_he.secret")))

    def __repr__(self) -> str:
        """Show no secret."""
        return "SecretKey(<secret>)"

    def encrypt(self, polynomial: Words, first: Words) -> npt.NDArray[np.uint8]:
        """Encrypt a polynomial; no two encryptions share a seed or an error.

        Args:
            polynomial: (n,) values below 2^ring_bits. An encryption of zero is a public key.
            first: (primes, n), the ciphertext's first half is written.

        Returns:
            The seed of the second half, (64,).
        """
        seed = np.empty(SEED_BYTES, np.uint8)
        self._seeds.into(seed)
        expand_seed(seed, self._params.primes, first)
        error = self._words(self._errors)
        self._context.encrypt(self._secret, error, polynomial, self._params.ring_bits, first)
        return seed

    def decrypt(self, first: Words, second: Words, positions: npt.NDArray[np.int32]) -> Words:
        """Decrypt an answer.

        Args:
            first: (kept, used) residues of the first half, at ``positions``.
            second: (kept, n) residues.
            positions: (used,) coefficients.

        Returns:
            (used,) values below 2^ring_bits.
        """
        return self._context.decrypt(self._secret, first, second, positions, self._params.ring_bits)

    def _words(self, prg: Prg) -> Words:
        out = np.empty(self._params.degree, np.uint64)
        prg.into(out)
        return out
