"""What each party's messages show: nothing that depends on the secret of the other."""

import numpy as np
import pytest

from pi_system.errors import RemoteProtocolError
from pi_system.kernels.he import SEED_BYTES
from pi_system.kernels.packing import packed_bytes, unpack_bits
from pi_system.protocols.linear_he import LinearHeClient, LinearHeServer, LinearHeSession, LinearShape, plan_linear
from pi_system.ring.prg import Prg, fresh_seed

LAYER = LinearShape(name="a", source="x", in_channels=8, out_channels=4000)
PLAN = plan_linear([LAYER], 41, 14)


def answer(weight: np.ndarray, mask: np.ndarray, seed: bytes) -> tuple[list[bytes], np.ndarray, np.ndarray]:
    """The server's messages, c_s and c_c."""
    client, server = LinearHeClient(PLAN, Prg(fresh_seed())), LinearHeServer(PLAN, {"a": weight})
    session = LinearHeSession(server, client.hello().data)
    messages = list(session.answers(0, client.request(0, mask).data, [Prg(seed)]))
    share = np.empty((1, *LAYER.share_shape), np.uint64)
    for chunk, message in zip(PLAN.chunks(0), messages, strict=True):
        client.receive(0, chunk, message, share)
    return [bytes(m) for m in messages], server.shares(Prg(seed))["a"], share[0]


def assert_uniform(values: np.ndarray, bits: int) -> None:
    """The top three bits of 4000 values: 500 of each pattern, standard deviation 21."""
    counts = np.bincount((values.reshape(-1) >> np.uint64(bits - 3)).astype(np.int64), minlength=8)
    assert counts.shape == (8,)
    assert np.abs(counts - values.size / 8).max() < 6 * np.sqrt(values.size / 8)


def test_shares_are_uniform_whatever_the_secrets() -> None:
    mask = np.zeros(8, np.uint64)
    for weight in (np.zeros((4000, 8), np.int64), np.full((4000, 8), 3000)):
        _, server_share, client_share = answer(weight, mask, fresh_seed())
        assert_uniform(server_share, 41)
        assert_uniform(client_share, 41)
        assert ((server_share + client_share) % 2**41 == 0).all()


def test_second_halves_are_uniform_even_for_weights_zero() -> None:
    """Without re-randomisation they would be zero; with the same one, two sessions would agree."""
    halves = []
    for _ in range(2):
        messages, _, _ = answer(np.zeros((4000, 8), np.int64), np.zeros(8, np.uint64), fresh_seed())
        bits, degree = PLAN.params.prime_bits[0], PLAN.params.degree
        half = np.empty(degree, np.uint64)
        unpack_bits(np.frombuffer(messages[0], np.uint8)[: packed_bytes(degree, bits)].copy(), bits, half)
        assert_uniform(half[:4000], bits)
        halves.append(half)
    assert (halves[0] != halves[1]).mean() > 0.99


def test_the_servers_randomness_is_its_prgs_alone_and_never_repeats_across_inferences() -> None:
    client, server = LinearHeClient(PLAN, Prg(fresh_seed())), LinearHeServer(PLAN, {"a": np.ones((4000, 8), np.int64)})
    session = LinearHeSession(server, client.hello().data)
    request, seed = client.request(0, np.arange(8, dtype=np.uint64)), fresh_seed()
    first, again, other = (
        b"".join(bytes(m) for m in session.answers(0, request.data, [Prg(s)])) for s in (seed, seed, fresh_seed())
    )
    assert first == again
    same = np.frombuffer(first, np.uint8) == np.frombuffer(other, np.uint8)
    assert same.mean() < 0.02  # 1 / 256 by chance


def test_requests_hide_the_mask_and_never_repeat() -> None:
    client = LinearHeClient(PLAN, Prg(fresh_seed()))
    mask = np.arange(8, dtype=np.uint64)
    first, second = (client.request(0, mask).reshape(-1, PLAN.params.upload_bytes) for _ in range(2))
    assert (first == second).mean() < 0.02
    assert len({row[:SEED_BYTES].tobytes() for row in (*first, *second)}) == 2 * len(first)


def test_both_halves_of_an_answer_must_be_residues() -> None:
    client, (chunk, *_) = LinearHeClient(PLAN, Prg(fresh_seed())), PLAN.chunks(0)
    params = PLAN.params
    second = [packed_bytes(params.degree, bits) for bits in params.prime_bits[: params.kept]]
    size, share = PLAN.chunk_bytes(0, chunk), np.empty((1, *LAYER.share_shape), np.uint64)
    for start, end in ((0, sum(second)), (sum(second), size)):
        message = bytearray(size)
        message[start:end] = b"\xff" * (end - start)
        with pytest.raises(RemoteProtocolError, match="residues"):
            client.receive(0, chunk, bytes(message), share)
