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
    return hashlib.sha256(data).hexdigest()[:32]


def test_stream_of_a_seed() -> None:
    prg = Prg(bytes(range(16)))
    assert prg.bytes(20).hex() == "b22d64589e5dc5c3852c56814c95203af4290b0e"
    assert prg.child("layer", 3).bytes(16).hex() == "a204a3915c8531a18e98a0bed8542729"


@pytest.mark.parametrize(
    ("variant", "ring_bits", "compare_bits", "shift", "expected"),
    [
        (
            "bit",
            32,
            24,
            8,
            [
                "f6a1c2c204b775f7360c87bcd76bbb10",
                "9fdf0864ac84a9c74bd08ebb4ecbfb02",
                "a73ebfb65cfee239a974cd905e148e90",
                "bf4a06913ac932eaa1be5136dea2840e",
                "394ff13d104e37ad29c540c4ce3a0a28",
            ],
        ),
        (
            "bit",
            64,
            17,
            6,
            [
                "5c6a252ac10e8e0eca5be176e7bf28ed",
                "34302586d2298925b5b17fb5e7dd9e78",
                "8f9cb83062d9abeeff4756663249078e",
                "bdef19bcd6fe2fe8d7284e0ce5c6c6c5",
                "5b6894229d176f39ad30255085a82da0",
            ],
        ),
        (
            "bit",
            59,
            40,
            12,
            [
                "52c0c253625b4616be7be2890704b9f9",
                "22eecddf666c3cc9b555b5373abd92c9",
                "34cd2354b7ccae2f9f943c64a1e10e05",
                "4293762dee1c03e4b10be6e1cdd46970",
                "66888a0f7cba21464df2a3b446f8ce3d",
            ],
        ),
        (
            "arith",
            32,
            24,
            8,
            [
                "374f5ceb4608fe972caf052c556bd3fd",
                "df79b7d39abb1886ba12cbf560c969d8",
                "28f8ace4209947bbebe2628804653565",
                "2bd51724d52e299e2924e5d0ad99fe6f",
                "394ff13d104e37ad29c540c4ce3a0a28",
            ],
        ),
        (
            "arith",
            64,
            17,
            6,
            [
                "fc027ffe4657e41ef4c7d8ddb2fee10c",
                "b00c9e349af532174ad4e473f663658a",
                "e555f490444e44d3da435ca55bc7c53e",
                "150bcc4d94edae57b69b3a0f64f92b5f",
                "5b6894229d176f39ad30255085a82da0",
            ],
        ),
    ],
)
def test_transcript_of_the_relu_gate(
    variant: ReluVariant, ring_bits: int, compare_bits: int, shift: int, expected: list[str]
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
    assert [_digest(part.tobytes()) for part in (key, server, message, reply, out)] == expected
