"""Trees, rows of the code and hashes are the same bytes on every instruction set, whole passes and parts of one."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from pi_system.kernels import aes_backend, aes_backends, use_aes_backend
from pi_system.kernels.ot import (
    bit_products_sender,
    cr_hash,
    lpn_encode,
    pads_receiver,
    pads_sender,
    pads_shift,
    tree_receiver,
    tree_sender,
)
from pi_system.ring.prg import Prg

SEED = b"0123456789abcdef"
DELTA = b"\1" + SEED[1:]


def blocks(count: int) -> Any:
    drawn = np.empty((count, 2), np.uint64)
    Prg(SEED).into(drawn)
    return drawn


def sent(depth: int, trees: int) -> tuple[Any, Any]:
    leaves = np.zeros((trees << depth, 2), np.uint64)
    return leaves, tree_sender(blocks(trees), depth, DELTA, leaves)


def received(depth: int, trees: int) -> Any:
    """With the right sums on the sides that the paths do not take, garbage where the receiver reads none."""
    _, sums = sent(depth, trees)
    alphas = (np.arange(trees, dtype=np.uint32) * 2_654_435_761 & ((1 << depth) - 1)).astype(np.uint32)
    taken = alphas[:, None] >> np.arange(depth - 1, -1, -1, dtype=np.uint32) & 1
    left = sums.reshape(trees, depth, 2)
    right = left ^ np.frombuffer(DELTA, np.uint64)
    keys = np.where(taken[:, :, None] == 1, left, right).reshape(-1, 2)
    leaves = np.zeros((trees << depth, 2), np.uint64)
    tree_receiver(alphas, depth, np.ascontiguousarray(keys), leaves)
    return alphas, leaves


def coded(first: int, rows: int) -> Any:
    out = blocks(rows)
    lpn_encode(blocks(300), SEED, first, out)
    return out


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = aes_backend()
    yield
    use_aes_backend(before)


@pytest.mark.parametrize(
    "made",
    [
        *(lambda depth=depth: sent(depth, 3) for depth in (1, 2, 5, 6, 9)),
        *(lambda depth=depth: received(depth, 3) for depth in (1, 2, 5, 6, 9)),
        *(lambda rows=rows: (coded(64, rows),) for rows in (32, 64, 320)),
        *(lambda count=count: (cr_hash(blocks(count), 5),) for count in (1, 31, 32, 129)),
        lambda: bit_products_sender(blocks(1024 + 32), DELTA, 9, 128),
    ],
)
def test_every_instruction_set_gives_the_same_bytes(made: Callable[[], Any]) -> None:
    found = set()
    for name in aes_backends():
        use_aes_backend(name)
        found.add(b"".join(part.tobytes() for part in made()))
    assert len(found) == 1


@pytest.mark.parametrize("depth", [1, 2, 6, 9])
def test_the_receiver_has_the_senders_leaves_but_one(depth: int) -> None:
    """There it is off by Delta; the lowest bits are zero, and one at that place."""
    for name in aes_backends():
        use_aes_backend(name)
        theirs, (alphas, mine) = sent(depth, 3)[0], received(depth, 3)
        missing = np.arange(3) * (1 << depth) + alphas
        difference = mine ^ theirs
        assert (difference[missing] == np.frombuffer(DELTA, np.uint64)).all()
        difference[missing] = 0
        assert not difference.any()
        assert not (theirs[:, 0] & 1).any()


@pytest.mark.parametrize(("m", "width"), [(1, 1), (3, 1), (5, 1), (1, 2), (4, 2)])
def test_a_receiver_has_one_of_all_pads(m: int, width: int) -> None:
    """All others differ from what its hashes give at their place by coins, also in sums of a few of them."""
    count, tweak, prg = 1 << 13, 900, Prg(SEED)
    q, delta = blocks(m * count), np.frombuffer(DELTA, np.uint64)
    q[:, 0] &= ~np.uint64(1)
    t = q ^ prg.ring((m * count, 1), 1).astype(np.uint64) * delta
    choice = prg.child("choice").ring(count, m).astype(np.uint8)
    pads = pads_sender(q, DELTA, tweak, m, width)
    shift, bits = pads_receiver(t, tweak, m, width, choice)
    pads_shift(pads, shift, m)
    hashes = cr_hash(t, tweak)[:, 0].astype(np.uint32).reshape(m, count)
    known = np.bitwise_xor.reduce(hashes) & np.uint32((1 << (width << m)) - 1)
    pads_shift(known, shift, m)
    for plane in range(width):
        both, mine = (words >> np.uint32(plane << m) & np.uint32((1 << (1 << m)) - 1) for words in (pads, known))
        unknown = both ^ mine
        assert ((both >> choice & 1) == np.unpackbits(bits[plane], bitorder="little")).all()
        assert ((unknown >> choice & 1) == 0).all()
        others = [unknown >> (choice ^ np.uint8(other)) & 1 for other in range(1, 1 << m)]
        for size in (1, 2, 3):
            for some in combinations(others[:8], size):
                assert abs(np.bitwise_xor.reduce(some).mean() - 0.5) < 6 * 0.5 / np.sqrt(count)
