"""The compiled comparison keys against a slow reference written from the paper with Python integers.

Boyle et al. (EUROCRYPT 2021, eprint 2020/1392, figure 1), one instance at a time; blocks and bit positions as
pi_system/kernels/src/dcf_bit.h states them. Compares the dealer's bytes and the parties' messages.
"""

from functools import cache

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pi_system.kernels import ReluGate, pack_bits, packed_bytes
from pi_system.ring.prg import Prg

SEEDS, SALT = (b"server seed 16 b", b"client seed 16 b"), b"public salt 16 b"
SEED_MASK = 2**128 - 8
LEFT_TWEAK, RIGHT_TWEAK = 0, 2 | 2 << 64
COUNT = 40  # one full block and a part of another


@cache
def _aes(key: bytes, block: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def _derived(seed: bytes, label: bytes) -> bytes:
    return _aes(_aes(seed, label.ljust(16, b"\0")), SALT)


def _stream(key: bytes, first: int, size: int) -> bytes:
    blocks = range(first // 16, (first + size + 15) // 16)
    return b"".join(_aes(key, b.to_bytes(16, "big")) for b in blocks)[first % 16 :][:size]


def _hash(key: bytes, node: int, tweak: int) -> int:
    block = ((node & SEED_MASK) ^ tweak).to_bytes(16, "little")
    return int.from_bytes(_aes(key, block), "little") ^ int.from_bytes(block, "little")


class Reference:
    """One instance: its key, and the evaluation of both parties."""

    def __init__(self, gate: ReluGate, index: int) -> None:
        self.gate, self.index, self.bits = gate, index, gate.comparison_bits - gate.shift - 1
        words = _derived(SALT, b"relu-words")
        self.aes_key = _stream(words, 16 * (index // 32), 16)
        self.roots = [int.from_bytes(_stream(_derived(s, b"relu-root"), 16 * index, 16), "little") for s in SEEDS]
        width = gate.mask_dtype.itemsize
        masks = [int.from_bytes(_stream(_derived(s, b"relu-mask"), width * index, width), "little") for s in SEEDS]
        self.mask = sum(m % 2**gate.comparison_bits for m in masks) % 2**gate.comparison_bits
        self.alpha = (self.mask >> gate.shift) % 2**self.bits
        self.words: list[int] = []

    def children(self, node: int) -> list[int]:
        return [_hash(self.aes_key, node, tweak) for tweak in (LEFT_TWEAK, RIGHT_TWEAK)]

    def seed_word(self, children: list[list[int]], keep: int) -> tuple[int, int]:
        """The seed's correction with both control bits, and how control of the kept child is corrected."""
        left, right = children[0][0] ^ children[1][0], children[0][1] ^ children[1][1]
        word = (left if keep else right) & ~5
        control = ((left & 1) ^ keep ^ 1, (right >> 2 & 1) ^ keep)
        return word | control[0] | control[1] << 2, control[keep]

    def evaluate(self, party: int, x: int) -> int:
        raise NotImplementedError

    def walk(self, x: int, level: int) -> int:
        return x >> (self.bits - 1 - level) & 1


class BitReference(Reference):
    """The tree with its leaf table."""

    def __init__(self, gate: ReluGate, index: int) -> None:
        super().__init__(gate, index)
        self.levels = max(self.bits - 8, 0)
        nodes, control, value = list(self.roots), [0, 1], 0
        for level in range(self.levels):
            keep = self.walk(self.alpha, level)
            children = [self.children(node) for node in nodes]
            word, _ = self.seed_word(children, keep)
            lost = [c[1 - keep] >> 1 & 1 for c in children]
            output = lost[0] ^ lost[1] ^ value ^ keep  # beta = 1 where the path goes left of alpha
            word = word & ~2 | output << 1
            self.words.append(word)
            nodes = [c[keep] ^ (word if t else 0) for c, t in zip(children, control, strict=True)]
            control = [node >> (2 * keep) & 1 for node in nodes]
            value ^= (nodes[0] >> 1 ^ nodes[1] >> 1) & 1
        halves = [self.children(node) for node in nodes]
        for half in range(2):
            table = sum(1 << j for j in range(128) if 128 * half + j < self.alpha % 256)
            flip = (2**128 - 1) * value
            self.words.append(halves[0][half] ^ halves[1][half] ^ table ^ flip)

    def evaluate(self, party: int, x: int) -> int:
        node, control = self.roots[party], party
        value = node >> 1 & 1
        for level in range(self.levels):
            direction = self.walk(x, level)
            node = self.children(node)[direction] ^ (self.words[level] if control else 0)
            control, value = node >> (2 * direction) & 1, value ^ node >> 1 & 1
        half = x >> 7 & 1
        leaf = self.children(node)[half] ^ (self.words[self.levels + half] if control else 0)
        return value ^ leaf >> (x % 128) & 1


def _gate(ring_bits: int, comparison_bits: int) -> ReluGate:
    return ReluGate(ring_bits=ring_bits, comparison_bits=comparison_bits, shift=comparison_bits // 3)


class TableReference(Reference):
    """A table of at most 128 bits: the client's from its seed, the server's with the comparison in it."""

    def __init__(self, gate: ReluGate, index: int) -> None:
        super().__init__(gate, index)
        size = 4 << self.bits
        stride = max(size, 16)
        stream = _stream(_derived(SEEDS[1], b"relu-table"), stride * (index // 32), size)
        theirs = [stream[4 * x + index % 32 // 8] >> index % 8 & 1 for x in range(1 << self.bits)]
        flip = (self.roots[0] ^ self.roots[1]) >> 1 & 1
        self.tables = [[bit ^ (x < self.alpha) ^ flip for x, bit in enumerate(theirs)], theirs]

    def evaluate(self, party: int, x: int) -> int:
        return int(self.tables[party][x])


def _table_bytes(block: list[TableReference]) -> bytes:
    """The server's tables of 32 instances, 32 bits for every x."""
    rows = zip(*(r.tables[0] for r in block), strict=True)
    return b"".join(sum(bit << i for i, bit in enumerate(row)).to_bytes(4, "little") for row in rows)


def _block_bytes(block: list[BitReference]) -> bytes:
    """The key of 32 instances, level by level."""
    levels = range(len(block[0].words))
    return b"".join(r.words[level].to_bytes(16, "little") for level in levels for r in block)


def _references(gate: ReluGate) -> tuple[list[BitReference] | list[TableReference], bytes]:
    """Two blocks of instances, and the dealer's key of them."""
    if gate.comparison_bits - gate.shift > 8:
        trees = [BitReference(gate, i) for i in range(64)]
        return trees, b"".join(_block_bytes(trees[b : b + 32]) for b in (0, 32))
    tables = [TableReference(gate, i) for i in range(64)]
    return tables, b"".join(_table_bytes(tables[b : b + 32]) for b in (0, 32))


@pytest.mark.parametrize("comparison_bits", range(2, 41))
def test_bit_keys_and_opened_bits_equal_the_reference(comparison_bits: int) -> None:
    gate = _gate(64, comparison_bits)
    instances, expected_key = _references(gate)
    key, _ = gate.deal(COUNT, *SEEDS, SALT)
    assert key.tobytes() == expected_key
    low = 2 ** (comparison_bits - gate.shift - 1)
    masked = Prg(bytes(16)).ring(COUNT, comparison_bits).astype(gate.mask_dtype)
    masked[:32:2] = [i.mask for i in instances[:32:2]]  # x = alpha, and its neighbours
    masked[1:32:4] = [(i.mask - (1 << gate.shift)) % 2**comparison_bits for i in instances[1:32:4]]
    message, _ = gate.server_send(key, SEEDS[0], SALT, np.zeros(COUNT, np.uint64), masked)
    theirs = key[: gate.key_bytes(COUNT, 1)]
    reply = gate.client_reply(theirs, SEEDS[1], SALT, message, np.zeros(COUNT, np.uint64))
    xs = [(int(v) >> gate.shift) % low for v in masked]
    for party, opened in ((0, message), (1, reply)):
        bits = np.array([i.evaluate(party, x) for i, x in zip(instances, xs, strict=False)], np.uint32)
        expected = np.empty(packed_bytes(COUNT, 1), np.uint8)
        pack_bits(bits, 1, expected)
        assert opened[-expected.size :].tobytes() == expected.tobytes()
    for instance, x in zip(instances, xs, strict=False):
        masks = [root >> 1 & 1 for root in instance.roots]
        opened_bit = instance.evaluate(0, x) ^ instance.evaluate(1, x)
        assert opened_bit == (x < instance.alpha) ^ masks[0] ^ masks[1]
