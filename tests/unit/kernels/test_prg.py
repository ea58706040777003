"""Keystream, packing and Prg against published vectors, the cryptography package and plain Python integers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pi_system.kernels import (
    aes_backend,
    aes_backends,
    aes_ctr,
    pack_bits,
    packed_bytes,
    unpack_bits,
    use_aes_backend,
)
from pi_system.ring.prg import Prg, fresh_seed


@pytest.fixture(params=aes_backends(), autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    use_aes_backend(request.param)
    yield request.param
    use_aes_backend("auto")


def _keystream(key: bytes, first_block: int, size: int) -> bytes:
    counter = modes.CTR(first_block.to_bytes(16, "big"))
    return Cipher(algorithms.AES(key), counter).encryptor().update(bytes(size))


def test_backend_in_use_is_the_selected_one(backend: str) -> None:
    assert aes_backend() == backend


def test_keystream_gives_nist_sp_800_38a_f51() -> None:
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    plain = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    cipher = bytes.fromhex(
        "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
        "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"
    )
    out = np.empty(64, np.uint8)
    aes_ctr(key, 0xF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF, out)
    assert bytes(a ^ b for a, b in zip(plain, out.tobytes(), strict=True)) == cipher


@pytest.mark.parametrize("first_block", [0, 1, 2**64 - 3, 2**64 - 40, 2**128 - 5, 12345 << 64])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100, 511, 513, 5000])
def test_keystream_equals_the_cryptography_package(first_block: int, size: int) -> None:
    key = bytes(range(7, 23))
    out = np.empty(size, np.uint8)
    aes_ctr(key, first_block, out)
    assert out.tobytes() == _keystream(key, first_block, size)


def test_keystream_at_an_unaligned_address_stays_inside_its_array() -> None:
    memory = np.full(300, 7, np.uint8)
    aes_ctr(bytes(16), 5, memory[3:290])
    assert memory[3:290].tobytes() == _keystream(bytes(16), 5, 287)
    assert set(memory[:3]) | set(memory[290:]) == {7}


def test_keystream_rejects_bad_arguments() -> None:
    with pytest.raises(ValueError, match="16"):
        aes_ctr(bytes(15), 0, np.empty(4, np.uint8))
    with pytest.raises(TypeError):
        aes_ctr(bytes(16), 0, np.empty(8, np.uint8)[::2])
    with pytest.raises(ValueError, match="backend"):
        use_aes_backend("abacus")


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("count", [0, 1, 31, 32, 75])
def test_packing_equals_a_python_integer(count: int, dtype: type[np.uint32] | type[np.uint64]) -> None:
    """Every width: those that fill a lane of eight bytes, and those that reach a ninth."""
    for bits in range(1, 8 * np.dtype(dtype).itemsize + 1):
        values: Any = np.frombuffer(Prg(bytes([bits] * 16)).bytes(8 * count), np.uint64).astype(dtype)
        back: Any = np.empty(count, dtype)
        number = sum((int(v) % 2**bits) << (i * bits) for i, v in enumerate(values))
        out = np.empty(packed_bytes(count, bits), np.uint8)
        pack_bits(values, bits, out)
        assert out.tobytes() == number.to_bytes(out.size, "little")
        unpack_bits(out, bits, back)
        assert [int(v) for v in back] == [int(v) % 2**bits for v in values]


def test_packing_rejects_wrong_sizes() -> None:
    values = np.zeros(10, np.uint64)
    with pytest.raises(ValueError, match="expected 23, found 22"):
        pack_bits(values, 18, np.empty(22, np.uint8))
    with pytest.raises(ValueError, match="expected 23, found 24"):
        unpack_bits(np.empty(24, np.uint8), 18, values)
    with pytest.raises(ValueError, match="narrow"):
        unpack_bits(np.empty(50, np.uint8), 40, np.empty(10, np.uint32))
    with pytest.raises(ValueError, match="1 to 64"):
        pack_bits(values, 65, np.empty(100, np.uint8))
    with pytest.raises(ValueError, match="unsigned"):
        pack_bits(values.astype(np.int64), 8, np.empty(10, np.uint8))  # type: ignore[arg-type]


def test_stream_continues_at_the_next_unused_block() -> None:
    prg, whole = Prg(b"0123456789abcdef"), Prg(b"0123456789abcdef").bytes(96)
    assert prg.bytes(17) == whole[:17]
    assert prg.bytes(16) == whole[32:48]
    assert prg.bytes(0) == b""
    assert prg.bytes(5) == whole[48:53]


@pytest.mark.parametrize("ring_bits", [1, 8, 24, 32, 33, 59, 64])
def test_ring_elements_fill_their_range(ring_bits: int) -> None:
    values = Prg(bytes(16)).ring((50, 40), ring_bits)
    assert values.shape == (50, 40)
    assert values.dtype == (np.uint32 if ring_bits <= 32 else np.uint64)
    assert int(np.bitwise_or.reduce(values, axis=None)) == 2**ring_bits - 1
    ones = sum(int(v).bit_count() for v in values.ravel()) / (2000 * ring_bits)
    assert abs(ones - 0.5) < 0.06


def test_children_differ_by_label_and_not_by_position() -> None:
    root = Prg(bytes(16))
    labels: list[tuple[str | int, ...]] = [
        ("a",),
        ("a", "b"),
        ("ab",),
        ("b", "a"),
        ("asb",),
        (1,),
        ("1",),
        (1, 1),
        (-1,),
        (),
    ]
    streams = [root.child(*label).bytes(16) for label in labels]
    assert len({root.bytes(16), *streams}) == len(labels) + 1
    assert root.child("a").bytes(16) == streams[0]


def test_prg_shows_no_secret_and_checks_its_seed() -> None:
    seed = fresh_seed()
    assert len(seed) == 16
    assert seed != fresh_seed()
    assert repr(Prg(seed)) == "Prg(<secret>)"
    with pytest.raises(ValueError, match="16"):
        Prg(b"short")
    with pytest.raises(ValueError, match="contiguous"):
        Prg(seed).into(np.empty(8, np.uint8)[::2])
    with pytest.raises(ValueError, match="1 to 64"):
        Prg(seed).ring(3, 65)
