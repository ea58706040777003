from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.distributed import ReduceOp

from pi_system.backends.crypten.communicator import ChannelCommunicator
from pi_system.channel.base import Channel
from pi_system.channel.memory import memory_pair, simulate
from pi_system.errors import LocalProtocolError

LEFT = torch.tensor([[1, -2, 2**63 - 1], [5, 6, 7]])
RIGHT = torch.tensor([[10, 20, 1], [-5, 2, 1]])


def both(call: Callable[[ChannelCommunicator, torch.Tensor], Any]) -> tuple[Any, Any, list[int]]:
    """What each party gets from ``call``, and the server's sent and received bytes and rounds."""
    counters: list[int] = []

    def server(channel: Channel) -> Any:
        result = call(ChannelCommunicator(0, channel), LEFT.clone())
        seen = channel.counters
        counters.extend((seen.sent_bytes, seen.received_bytes, seen.rounds))
        return result

    results = simulate(server, lambda channel: call(ChannelCommunicator(1, channel), RIGHT.clone()))
    return *results, counters


@pytest.mark.parametrize(("op", "expected"), [(ReduceOp.SUM, LEFT + RIGHT), (ReduceOp.BXOR, LEFT ^ RIGHT)])
def test_all_reduce_gives_both_the_result_in_one_round(op: Any, expected: torch.Tensor) -> None:
    server, client, counters = both(lambda end, share: end.all_reduce(share, op=op))
    assert torch.equal(server, expected)
    assert torch.equal(client, expected)
    assert counters == [48, 48, 1]


def test_a_batch_is_one_round_whatever_its_shapes() -> None:
    def call(end: ChannelCommunicator, share: torch.Tensor) -> Any:
        return end.all_reduce([share.t(), share[0, 0], share[:0], share[1]], batched=True)

    server, client, counters = both(call)
    total = LEFT + RIGHT
    for result in (server, client):
        assert all(map(torch.equal, result, [total.t(), total[0, 0], total[:0], total[1]]))
    assert counters == [8 * 10, 8 * 10, 1]


def test_results_are_new_and_writable() -> None:
    mine = torch.zeros(4, dtype=torch.int64)

    def server(channel: Channel) -> torch.Tensor:
        result: torch.Tensor = ChannelCommunicator(0, channel).all_reduce(mine)
        result.add_(7)
        return result

    result, _ = simulate(server, lambda channel: ChannelCommunicator(1, channel).all_reduce(torch.ones_like(mine)))
    assert result.tolist() == [8] * 4
    assert mine.tolist() == [0] * 4


def test_reduce_sends_one_way() -> None:
    server, client, counters = both(lambda end, share: end.reduce(share, 1))
    assert server is None
    assert torch.equal(client, LEFT + RIGHT)
    assert counters == [48, 0, 0]


@pytest.mark.parametrize("name", ["send", "recv", "broadcast", "gather", "scatter", "send_obj", "barrier"])
def test_everything_else_is_refused(name: str) -> None:
    near, _ = memory_pair()
    with pytest.raises(LocalProtocolError, match=name):
        getattr(ChannelCommunicator(0, near), name)(LEFT, 1)
    assert near.counters.sent_bytes == 0


def test_other_operations_and_types_are_refused() -> None:
    near, _ = memory_pair()
    with pytest.raises(LocalProtocolError):
        ChannelCommunicator(0, near).all_reduce(LEFT, op=ReduceOp.MAX)
    with pytest.raises(LocalProtocolError):
        ChannelCommunicator(0, near).all_reduce(LEFT.float())
    assert near.counters.sent_bytes == 0
