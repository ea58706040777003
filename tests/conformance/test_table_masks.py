"""Making a table, no random string hides two messages: every one is changed, and exactly one message must show it.

Both ends of an oblivious transfer are changed alike, so both parties compute what they did before, and a message
differs from that of an unchanged run by what its mask was changed by. One mask for two messages would tell the
difference of two shares, so of two secret bits; the result would still be right and every message uniform.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from gates import prepare

from pi_system.protocols.gate import GateSpec
from pi_system.protocols.relu_table import TABLE, offline
from pi_system.protocols.relu_table.products import Chosen, Offered, take
from pi_system.protocols.relu_table.ring_words import ring_bits_of
from pi_system.protocols.relu_table.rounds import Party
from pi_system.protocols.relu_table.shape import Shape, shape_of
from pi_system.ring.prg import Prg

SEED = b"0123456789abcdef"
SPECS = [
    GateSpec(count=256, ring_bits=32, comparison_bits=18, shift=4, unseen_bits=6),
    GateSpec(count=256, ring_bits=64, comparison_bits=16, shift=0, unseen_bits=6),
    GateSpec(count=256, ring_bits=32, comparison_bits=12, shift=3),
]
"""Both sums and a carry; strings in two pieces and no carry; one sum."""


class _Changes:
    """What the masks of one sender are changed by: the same sequence at both ends."""

    def __init__(self, sender: int) -> None:
        self._prg = Prg(SEED).child(f"changes {sender}")
        self.planes: list[bytes] = []
        self.words: list[Any] = []

    def plane(self, like: Any) -> Any:
        found = np.frombuffer(self._prg.bytes(like.nbytes), np.uint8).reshape(like.shape)
        self.planes.extend(row.tobytes() for row in found.reshape(-1, like.shape[-1]))
        return found

    def word(self, like: Any) -> Any:
        found = self._prg.ring(like.shape, 8 * like.itemsize)
        self.words.extend(found)
        return found


def _change(shape: Shape, role: int, offered: Offered, chosen: Chosen) -> _Changes:
    """Change the masks at one party; returns those of which it is the sender."""
    mine, theirs = _Changes(role), _Changes(1 - role)
    for beta, _ in (*offered.adder, *offered.strings):
        beta ^= mine.plane(beta)
    for _, step in offered.words:
        step += mine.word(step)
    for u, w in chosen.adder:
        w ^= theirs.plane(w) & u[:, None]
    for u, w in chosen.strings:
        w ^= theirs.plane(w) & u
    for u, word in chosen.words:
        word += theirs.word(word) * ring_bits_of(Party.of(shape, role), u)
    return mine


@dataclass
class _Run:
    """What each party sent, by role, planes and words; how its masks were changed; both parties' material."""

    sent: dict[int, tuple[list[Any], list[Any]]]
    changes: dict[int, _Changes]
    material: Any = None


def _run(spec: GateSpec, monkeypatch: pytest.MonkeyPatch, *, change: bool) -> _Run:
    run, swap = _Run({role: ([], []) for role in (0, 1)}, {}), Party.swap

    def noted(party: Any, planes: Any, words: Any = ()) -> Any:
        run.sent[party.role][0].extend(np.asarray(plane) for plane in planes)
        run.sent[party.role][1].extend(words)
        return (yield from swap(party, planes, words))

    def changed(shape: Any, role: Any, ots: Any) -> Any:
        made = yield from take(shape, role, ots)
        if change:
            run.changes[role] = _change(shape, role, *made)
        return made

    with monkeypatch.context() as patched:
        patched.setattr(Party, "swap", noted)
        patched.setattr(offline, "take", changed)
        run.material = prepare(TABLE, spec, np.zeros(spec.count, np.int64), seed=SEED).material
    return run


@pytest.mark.parametrize("spec", SPECS)
def test_every_mask_hides_one_message(spec: GateSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = (_run(spec, monkeypatch, change=change) for change in (False, True))
    for mine, same in zip(before.material, after.material, strict=True):
        assert all((mine[name] == same[name]).all() for name in mine)
    for role, changes in after.changes.items():
        planes, words = (
            list(zip(*sent, strict=True)) for sent in zip(before.sent[role], after.sent[role], strict=True)
        )
        assert sorted(bytes(a ^ b) for a, b in planes if (a != b).any()) == sorted(changes.planes)
        widths = [bits for parts in shape_of(spec).rounds(role) for bits in parts.words]
        differences = [_low(a - b, bits) for (a, b), bits in zip(words, widths, strict=True) if (a != b).any()]
        hidden = widths[role:]  # the client's first word is its share, under its own number
        assert differences == [_low(word, bits) for word, bits in zip(changes.words, hidden, strict=True)]


def _low(words: Any, bits: int) -> bytes:
    low: Any = words & words.dtype.type((1 << bits) - 1)
    return bytes(low)
