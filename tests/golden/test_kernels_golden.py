"""Pins the bytes that the kernels derive from fixed seeds: keys on disk and messages must not change unseen.

A change here makes stored correlations unreadable and needs a new artifact version.
"""

import hashlib

import numpy as np
import pytest

from pi_system.kernels import ReluGate
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
    ("ring_bits", "comparison_bits", "shift", "expected"),
    [
        (32, 24, 8, "44d8d7912fe08f00 9fdf0864ac84a9c7 911aa4edfaf95436 6832012458d76329 394ff13d104e37ad"),
        (64, 17, 6, "1edddb9da6246228 34302586d2298925 8bc219bdfbee3e47 a3c86213d3692316 5b6894229d176f39"),
        (59, 40, 12, "5b0bd53f25cf7f69 22eecddf666c3cc9 d83b381b6345439b efebd1b3c7a7e318 66888a0f7cba2146"),
    ],
)
def test_transcript_of_the_relu_gate(ring_bits: int, comparison_bits: int, shift: int, expected: str) -> None:
    gate = ReluGate(ring_bits=ring_bits, comparison_bits=comparison_bits, shift=shift)
    prg = Prg(SALT)
    share, r_next = (prg.ring(COUNT, ring_bits).astype(gate.ring_dtype) for _ in range(2))
    masked = prg.ring(COUNT, comparison_bits).astype(gate.mask_dtype)
    key, server = gate.deal(COUNT, SERVER_SEED, CLIENT_SEED, SALT)
    message, state = gate.server_send(key, SERVER_SEED, SALT, share, masked)
    reply = gate.client_reply(key, CLIENT_SEED, SALT, message, r_next)
    out = np.empty(COUNT, gate.ring_dtype)
    gate.server_finish(server, state, reply, out)
    assert " ".join(_digest(part.tobytes()) for part in (key, server, message, reply, out)) == expected
