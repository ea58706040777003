"""Kernels that hash or draw do so at a place of their own: equal inputs under other tweaks, rows, counters differ."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pi_system.kernels import aes_backend, aes_backends, use_aes_backend
from pi_system.kernels.garble import garble, garble_inputs
from pi_system.kernels.ot import (
    bit_products_receiver,
    bit_products_sender,
    cr_hash,
    fold_leaves,
    lpn_encode,
    pads_receiver,
    pads_sender,
)
from pi_system.ring.prg import Prg

SEED = b"0123456789abcdef"
DELTA = Prg(SEED).child("delta").bytes(15) + b"\x01"
EQUAL = np.tile(np.frombuffer(SEED, np.uint64), (512, 1))
"""512 times the same block."""


def distinct(blocks: Any) -> bool:
    return bool(len(np.unique(blocks.reshape(-1, 2), axis=0)) == blocks.size // 2)


def test_every_block_of_a_hash_has_its_own_tweak() -> None:
    before = aes_backend()
    for name in aes_backends():
        use_aes_backend(name)
        whole = cr_hash(EQUAL, 1000)
        assert distinct(whole)
        assert np.array_equal(cr_hash(EQUAL[:12], 1500), whole[500:])
        assert not np.isin(cr_hash(EQUAL, 0)[:, 0], whole[:, 0]).any()
    use_aes_backend(before)


@pytest.mark.parametrize(
    "draw",
    [
        lambda tweak: bit_products_sender(EQUAL, DELTA, tweak, 2),
        lambda tweak: bit_products_receiver(EQUAL, tweak, 2)[1:],
        lambda tweak: (pads_sender(EQUAL, DELTA, tweak, 4, 2).view(np.uint8),),
        lambda tweak: pads_receiver(EQUAL, tweak, 4, 2, np.zeros(128, np.uint8))[1],
    ],
)
def test_bits_of_equal_blocks_are_independent(draw: Callable[..., Any]) -> None:
    """Within a call and between two: about half of the bits differ."""
    first, second = ([np.unpackbits(part) for part in draw(tweak)] for tweak in (0, 1 << 20))
    for one, two in zip(first, second, strict=True):
        assert abs(one.mean() - 0.5) < 6 * 0.5 / np.sqrt(one.size)
        assert abs((one ^ two).mean() - 0.5) < 6 * 0.5 / np.sqrt(one.size)
        assert not np.array_equal(one[: one.size // 2], one[one.size // 2 :])


def garbled(tweak: Any, elements: int = 64, wires: int = 8) -> Any:
    """Tables of equal wires: all zero labels of the client are the same block."""
    q = np.tile(EQUAL[:1], (wires, elements)).reshape(wires, 2 * elements)
    flips = np.zeros((wires, elements // 8), np.uint8)
    tables, rows, _ = garble(wires, 2, stride=elements, tweak=tweak, seed=SEED, delta=DELTA, first=0, q=q, flips=flips)
    return tables, rows


def test_every_gate_of_a_circuit_and_every_circuit_has_its_own_tweak() -> None:
    (tables, rows), (other_tables, other_rows) = garbled(0), garbled(1 << 20)
    assert distinct(tables)
    assert not np.isin(tables, other_tables).any()
    assert len(np.unique(rows)) == rows.size
    assert not np.isin(rows, other_rows).any()


def test_every_wire_of_every_element_has_its_own_label() -> None:
    labels = garble_inputs(8, stride=64, seed=SEED, delta=DELTA, first=0, share=np.zeros(64, np.uint32))
    assert distinct(labels.view(np.uint64))


def test_rows_of_the_code_never_repeat() -> None:
    base = np.frombuffer(Prg(SEED).bytes(16 << 12), np.uint64).reshape(-1, 2).copy()

    def rows(first: Any, count: Any, seed: Any = SEED) -> Any:
        out = np.zeros((count, 2), np.uint64)
        lpn_encode(base, seed, first, out)
        return out

    whole = rows(0, 4096)
    assert distinct(whole)
    assert np.array_equal(rows(2048, 64), whole[2048:2112])
    assert not np.isin(rows(0, 4096, b"another matrix..")[:, 0], whole[:, 0]).any()


def test_leaves_go_on_where_they_stopped() -> None:
    leaves = np.frombuffer(Prg(SEED).bytes(16 * 256), np.uint64).reshape(-1, 2).copy()
    _, whole = fold_leaves(leaves, 0, False, 0, 8)
    _, later = fold_leaves(leaves, 0, False, 5, 3)
    assert np.array_equal(whole[80:], later)
    assert distinct(whole.view(np.uint64))
