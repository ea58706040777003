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
    encode_plan,
)
from pi_system.backends.crypten.store import CorrelationStore, Material
from pi_system.channel.base import Channel
from pi_system.channel.memory import memory_pair
from pi_system.errors import RemoteProtocolError

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


def materials(count: int) -> list[tuple[Material, Material]]:
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


def _words(material: Material) -> np.ndarray[Any, np.dtype[np.int64]]:
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
