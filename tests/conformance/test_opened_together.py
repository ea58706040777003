"""What the client opens of a gate of few bits, value and sign, says nothing about either with the number that it drew.

Masks that are made of one another are uniform each: y + r' and y + 2 r', say, and y is twice the first less the second.
So small multiples of all three are added up, of one secret in all elements.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
from gates import PROTOCOLS, SEED, exchange, prepare

from pi_system.kernels import packed_bytes, unpack_bits
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.relu_dcf.gates import kernel_of
from pi_system.protocols.relu_table import adder

COUNT = 8192
SPEC = GateSpec(count=COUNT, ring_bits=32, comparison_bits=24, shift=10, unseen_bits=6)


@dataclass
class _Opened:
    """The high n bits of what the client opens for the value and for the sign, and of its summand of r'."""

    value: Any
    sign: Any
    own: Any

    def together(self, a: int, b: int, c: int) -> Any:
        return (a * self.value + b * self.sign + c * self.own) % (1 << SPEC.compared_bits)


def opened(protocol: str, secret: int, monkeypatch: pytest.MonkeyPatch) -> _Opened:
    drawn, own_mask = [], adder.own_mask

    def noted(party: Any, chosen: Any) -> Any:
        found = own_mask(party, chosen)
        drawn.extend([found[0]] if party.role else [])
        return found

    monkeypatch.setattr(adder, "own_mask", noted)
    prepared = prepare(PROTOCOLS[protocol], SPEC, np.full(COUNT, secret), seed=SEED)
    if protocol == "dcf":
        seed, salt = (prepared.material[1][name].tobytes() for name in ("seed", "salt"))
        drawn.append(kernel_of(SPEC).masks(COUNT, seed, salt))
    down, _ = exchange(*prepared.gates(), prepared.y_server)
    message, parts = np.frombuffer(down[0], np.uint8), []
    for bits in (SPEC.opened_bits, SPEC.compared_bits):
        found, size = np.empty(COUNT, np.uint32), packed_bytes(COUNT, bits)
        unpack_bits(message[:size], bits, found)
        message = message[size:]
        parts.append(found.astype(np.int64))
    summand = drawn[0][:COUNT].astype(np.int64) >> (SPEC.shift + SPEC.unseen_bits)
    return _Opened(parts[0] >> SPEC.unseen_bits, parts[1], summand)


def spread(values: Any) -> float:
    """Chi-square of the top four bits."""
    counts = np.bincount(values >> (SPEC.compared_bits - 4), minlength=16)
    return float(((counts - COUNT / 16) ** 2).sum() * 16 / COUNT)


@pytest.mark.parametrize("secret", [0, 5_000_000])
@pytest.mark.parametrize("protocol", ["dcf", "table"])
def test_no_sum_of_what_the_client_has_is_anything_but_uniform(
    protocol: str, secret: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = opened(protocol, secret, monkeypatch)
    for multiples in product(range(-2, 3), repeat=3):
        if any(multiples):
            assert spread(found.together(*multiples)) < 15 + 10 * np.sqrt(30), multiples


def test_the_test_would_see_one_mask_made_of_another() -> None:
    rng = np.random.default_rng(1)
    server, client = rng.integers(0, 256, (2, COUNT))
    found = _Opened((server + client) % 256, (2 * server + client) % 256, client)
    assert spread(found.together(2, -1, -1)) > 1000
