from typing import Any

import numpy as np
import pytest

from pi_system.secure.turns import CHUNK, chunks
from pi_system.secure.values import Computed, GateInput, Kept, LazyValue, added


class Noted(LazyValue):
    """A value that counts which channels were computed."""

    def __init__(self, array: Any) -> None:
        super().__init__(array.shape)
        self.array, self.asked = array, list[tuple[int, int]]()

    def channels(self, first: int, last: Any) -> Any:
        self.asked.append((first, last))
        return self.array[:, first:last]


@pytest.mark.parametrize("count", [1, CHUNK, CHUNK + 1, 3 * CHUNK - 5])
def test_chunks_cover_everything_once_in_order(count: int) -> None:
    parts = list(chunks(count))
    assert parts[0][0] == 0
    assert [first + length for first, length in parts[:-1]] == [first for first, _ in parts[1:]]
    assert sum(length for _, length in parts) == count


@pytest.mark.parametrize("density", [None, 0.0005, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(1, 40, 30, 30), (2, 100), (3, 7, 5, 5)])
def test_gather_gives_the_active_elements_in_order(shape: tuple[int, ...], density: float | None) -> None:
    rng = np.random.default_rng(1)
    array = rng.integers(0, 1 << 32, shape, dtype=np.uint32)
    size = int(np.prod(shape[1:]))
    chosen = (np.arange(size) == size // 2) | (rng.random(size) <= (density or 0))
    positions = None if density is None else np.flatnonzero(chosen)
    flat = array.reshape(shape[0], -1)
    expected = flat if positions is None else flat[:, positions]
    for source in (Computed(array), Noted(array)):
        gather = GateInput(source, positions, expected.shape[1])
        for first, length in chunks(expected.shape[1]):
            assert (gather.upto(first, length) == expected[:, first : first + length]).all()


def test_a_layer_is_computed_only_as_far_as_a_chunk_needs_and_never_twice() -> None:
    lazy = Noted(np.zeros((1, 64, 32, 32), np.uint32))
    gather = GateInput(lazy, None, 64 * 1024)
    gather.upto(0, CHUNK)
    assert lazy.asked == [(0, 16)]
    gather.upto(CHUNK, CHUNK)
    assert lazy.asked == [(0, 16), (16, 32)]
    gather.upto(0, CHUNK)
    assert len(lazy.asked) == 2


@pytest.mark.parametrize("positions", [[0], [3, 900, 901], [44_999]])
def test_what_a_gate_computed_is_kept_for_who_reads_the_whole(positions: list[int]) -> None:
    array = np.random.default_rng(2).integers(0, 1 << 32, (2, 50, 30, 30), dtype=np.uint32)
    lazy = Noted(array)
    kept = Kept(lazy)
    active = np.array(positions)
    found = GateInput(kept, active, len(active)).upto(0, len(active))
    np.testing.assert_array_equal(found, array.reshape(2, -1)[:, active])
    np.testing.assert_array_equal(kept.full(), array)
    np.testing.assert_array_equal(kept.full(), array)
    assert lazy.asked[0][0] == 0
    assert [first for first, _ in lazy.asked[1:]] == [last for _, last in lazy.asked[:-1]]
    assert lazy.asked[-1][1] == 50


def test_a_sum_is_computed_when_it_is_asked_for_if_a_term_is() -> None:
    array = np.arange(2 * 40, dtype=np.uint32).reshape(2, 40)
    lazy, there = Noted(array), Computed(array)
    assert added(there, 0, there, 1).ready
    total = added(lazy, 2, there, 0)
    assert not total.ready
    assert not lazy.asked
    np.testing.assert_array_equal(total.channels(3, 7), 5 * array[:, 3:7])
    assert lazy.asked == [(3, 7)]
    np.testing.assert_array_equal(total.full(), 5 * array)
    np.testing.assert_array_equal(added(there, 0, there, 1).full(), 3 * array)
