"""Plans of correlations, their dealing, and the stores of what was dealt."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from pi_system.backends.crypten.dealer import deal
from pi_system.backends.crypten.plan import (
    AdditiveTriple,
    BinaryTriple,
    CorrelationPlan,
    SharedBit,
    SquarePair,
    decode_plan,
    encode_plan,
)
from pi_system.backends.crypten.store import CorrelationStore, Expanded
from pi_system.channel.base import Channel
from pi_system.channel.memory import memory_pair
from pi_system.errors import (
    CorrelationExhaustedError,
    CorrelationMismatchError,
    CorrelationReusedError,
    RemoteProtocolError,
)

PLAN = CorrelationPlan(
    items=(
        AdditiveTriple(op="conv2d", left=(1, 4, 6, 5), right=(6, 2, 3, 3), stride=(2, 1), padding=(1, 0), groups=2),
        AdditiveTriple(op="matmul", left=(2, 7), right=(7, 3)),
        AdditiveTriple(op="mul", left=(50,), right=(50,)),
        BinaryTriple(shape=(2, 1, 30)),
        SharedBit(shape=(200,)),
        SquarePair(shape=(3, 70)),
    )
)


def dealt(count: int) -> tuple[CorrelationStore, CorrelationStore, list[int]]:
    """Both parties' stores after a dealing, and the bytes each received."""
    ends = [memory_pair(), memory_pair()]
    deal(encode_plan(PLAN), count, ends[0][0], ends[1][0])
    stores = [CorrelationStore(PLAN, is_server=True), CorrelationStore(PLAN, is_server=False)]
    for store, (_, channel) in zip(stores, ends, strict=True):
        store.receive(count, channel)
    return stores[0], stores[1], [channel.counters.received_bytes for _, channel in ends]


def materials(count: int) -> list[tuple[Expanded, Expanded]]:
    server, client, _ = dealt(count)
    ids = client.next_ids(count)
    client.take(ids)
    server.take(ids)
    return [(server.use(name), client.use(name)) for name in ids]


@pytest.mark.parametrize("index", [0, 1])
def test_every_relation_holds(index: int) -> None:
    for ours, theirs in zip(*materials(2)[index], strict=True):
        item = ours.item
        if isinstance(item, AdditiveTriple):
            a, b = (x + y for x, y in zip(ours.operands, theirs.operands, strict=True))
            assert torch.equal(getattr(torch, item.op)(a, b, **item.options), ours.result + theirs.result)
        elif isinstance(item, BinaryTriple):
            a, b = (x ^ y for x, y in zip(ours.operands, theirs.operands, strict=True))
            assert torch.equal(a & b, ours.result ^ theirs.result)
        elif isinstance(item, SquarePair):
            r = ours.operands[0] + theirs.operands[0]
            assert torch.equal(r * r, ours.result + theirs.result)
        else:
            bit = ours.operands[0] ^ theirs.operands[0]
            assert torch.equal(bit, ours.result + theirs.result)
            assert set(bit.tolist()) == {0, 1}


def _words(material: Expanded) -> np.ndarray[Any, np.dtype[np.int64]]:
    tensors = [tensor for shares in material for tensor in (*shares.operands, shares.result)]
    return np.concatenate([tensor.numpy().ravel() for tensor in tensors if tensor.numel() != 200])


def test_no_randomness_repeats_between_parties_inferences_and_dealings() -> None:
    words = [_words(material) for pair in materials(2) + materials(2) for material in pair]
    flat = np.concatenate(words)
    assert len(np.unique(flat)) == len(flat)
    # Uniform words: half of all bits are set (a deviation of 0.02 is beyond seven sigma here).
    assert abs(np.unpackbits(flat.view(np.uint8)).mean() - 0.5) < 0.02


def test_the_client_gets_a_seed_and_the_server_the_corrections() -> None:
    _, _, received = dealt(3)
    assert received == [16 + 3 * PLAN.correction_bytes(), 16]


@pytest.mark.parametrize("count", [0, -1, (1 << 16) + 1])
def test_bad_counts_are_refused_before_anything_is_sent(count: int) -> None:
    server, client = memory_pair(), memory_pair()
    with pytest.raises(RemoteProtocolError):
        deal(encode_plan(PLAN), count, server[0], client[0])
    ends: list[Channel] = [server[0], client[0]]
    assert [end.counters.sent_bytes for end in ends] == [0, 0]


def test_request_round_trip() -> None:
    assert decode_plan(encode_plan(PLAN)) == PLAN


def test_result_shapes_and_bytes() -> None:
    shapes = [item.result_shape() for item in PLAN.items]
    assert shapes == [(1, 6, 3, 3), (2, 3), (50,), (2, 1, 30), (200,), (3, 70)]
    assert PLAN.correction_bytes() == 8 * (54 + 6 + 50 + 60 + 200 + 210)


def _request(**item: object) -> bytes:
    return json.dumps({"backend": "crypten", "version": 1, "ring_bits": 64, "items": [item]}).encode()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"\xff\xfe",
        b"{}",
        b'{"backend":"fss","version":1,"ring_bits":64,"items":[]}',
        b'{"backend":"crypten","version":2,"ring_bits":64,"items":[]}',
        b'{"backend":"crypten","version":1,"ring_bits":32,"items":[]}',
        _request(kind="cube", shape=[3]),
        _request(kind="square", shape=[0]),
        _request(kind="binary", shape=[0]),
        _request(kind="binary", shape=[-1]),
        _request(kind="binary", shape=[1] * 9),
        _request(kind="binary", shape=[1 << 15, 1 << 15]),
        _request(kind="binary", shape=[4], extra=1),
        _request(kind="additive", op="einsum", left=[4], right=[4]),
        _request(kind="additive", op="matmul", left=[2, 3], right=[2, 3]),
        _request(kind="additive", op="matmul", left=[1 << 20, 1], right=[1, 1 << 20]),
        _request(kind="additive", op="conv2d", left=[1, 3, 4, 4], right=[2, 2, 3, 3]),
        _request(kind="additive", op="mul", left=[4], right=[4], stride=[1, 1]),
        b" " * (17 << 20),
    ],
)
def test_bad_requests_are_refused(request_bytes: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_plan(request_bytes)


ONE = CorrelationPlan(items=(BinaryTriple(shape=(5,)),))


@pytest.fixture
def store() -> CorrelationStore:
    """A server's store with two inferences, from two dealings."""
    store = CorrelationStore(ONE, is_server=True)
    for _ in range(2):
        (near, far), (client, _) = memory_pair(), memory_pair()
        deal(encode_plan(ONE), 1, far, client)
        store.receive(1, near)
    return store


def test_ids_go_on_over_several_dealings(store: CorrelationStore) -> None:
    assert store.available() == 2
    assert store.next_ids(2) == ("0", "1")


def test_taking_twice_is_refused(store: CorrelationStore) -> None:
    store.take(("0",))
    with pytest.raises(CorrelationReusedError):
        store.take(("0",))
    with pytest.raises(CorrelationReusedError):
        store.take(("1", "1"))


def test_a_refused_request_takes_nothing(store: CorrelationStore) -> None:
    with pytest.raises(CorrelationMismatchError):
        store.take(("0", "7"))
    assert store.available() == 2


@pytest.mark.parametrize("name", ["2", "-1", "", "x", "\u0661"])
def test_unknown_ids_are_refused(store: CorrelationStore, name: str) -> None:
    with pytest.raises(CorrelationMismatchError):
        store.take((name,))


def test_material_is_used_once_and_only_when_taken(store: CorrelationStore) -> None:
    with pytest.raises(CorrelationReusedError):
        store.use("0")
    store.take(("0",))
    assert len(store.use("0")) == 1
    with pytest.raises(CorrelationReusedError):
        store.use("0")


def test_an_empty_store_says_so(store: CorrelationStore) -> None:
    store.take(store.next_ids(2))
    assert store.available() == 0
    with pytest.raises(CorrelationExhaustedError):
        store.next_ids(1)
