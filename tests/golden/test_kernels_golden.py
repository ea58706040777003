"""Pins the bytes that the kernels derive from fixed seeds: keys on disk and messages must not change unseen.

A change here makes stored correlations unreadable and needs a new artifact version.
"""

import hashlib

import numpy as np
import pytest

from pi_system.kernels import ReluGate, ReluVariant
from pi_system.ring.prg import Prg

SERVER_SEED, CLIENT_SEED, SALT = b"server seed 16 b", b"client seed 16 b", b"public salt 16 b"
COUNT = 45


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def test_stream_of_a_seed() -> None:
    prg = Prg(bytes(range(16)))
    assert prg.bytes(20).hex() == "b22d64589e5dc5c3852c56814c95203af4290b0e"
    assert prg.child("layer", 3).bytes(16).hex() == "a204a3915c8531a18e98a0bed8542729"


@pytest.mark.parametrize(
    ("variant", "ring_bits", "compare_bits", "shift", "expected"),
    [
        ("bit", 32, 24, 8, "f6a1c2c204b775f7 9fdf0864ac84a9c7 a73ebfb65cfee239 bf4a06913ac932ea 394ff13d104e37ad"),
        ("bit", 64, 17, 6, "5c6a252ac10e8e0e 34302586d2298925 8f9cb83062d9abee bdef19bcd6fe2fe8 5b6894229d176f39"),
        ("bit", 59, 40, 12, "52c0c253625b4616 22eecddf666c3cc9 34cd2354b7ccae2f 4293762dee1c03e4 66888a0f7cba2146"),
        ("arith", 32, 24, 8, "374f5ceb4608fe97 df79b7d39abb1886 28f8ace4209947bb 2bd51724d52e299e 394ff13d104e37ad"),
        ("arith", 64, 17, 6, "fc027ffe4657e41e b00c9e349af53217 e555f490444e44d3 150bcc4d94edae57 5b6894229d176f39"),
    ],
)
def test_transcript_of_the_relu_gate(
    variant: ReluVariant, ring_bits: int, compare_bits: int, shift: int, expected: str
) -> None:
    gate = ReluGate(variant=variant, ring_bits=ring_bits, compare_bits=compare_bits, shift=shift)
    prg = Prg(SALT)
    share, r_next = (prg.ring(COUNT, ring_bits).astype(gate.ring_dtype) for _ in range(2))
    masked = prg.ring(COUNT, compare_bits).astype(gate.mask_dtype)
    key, server = gate.deal(COUNT, SERVER_SEED, CLIENT_SEED, SALT)
    message, state = gate.server_send(key, SERVER_SEED, SALT, share, masked)
    gate.server_eval(key, SERVER_SEED, SALT, server, COUNT, state)
    reply = gate.client_reply(key, CLIENT_SEED, SALT, message, r_next)
    out = np.empty(COUNT, gate.ring_dtype)
    gate.server_finish(server, state, reply, out)
    assert " ".join(_digest(part.tobytes()) for part in (key, server, message, reply, out)) == expected
