"""CrypTen's communicator over our channel: two parties, raw little-endian int64, no pickle.

Both parties know every size from the public graph, so nothing but shares crosses the channel. With two parties
CrypTen's beaver protocol needs two collectives only: opening a value to both (all_reduce) and to one (reduce).
Everything else CrypTen's interface offers is refused, so that no unexamined message can ever be sent.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch.distributed import ReduceOp

from pi_system.backends.crypten.library import crypten
from pi_system.channel.base import Channel
from pi_system.errors import LocalProtocolError

_Combine = Callable[..., NDArray[np.int64]]
_COMBINE: dict[Any, _Combine] = {ReduceOp.SUM: np.add, ReduceOp.BXOR: np.bitwise_xor}


class _TwoParty(crypten.communicator.Communicator):  # type: ignore[misc]
    """What both communicators share: a rank in a world of two."""

    BYTES_PER_ELEMENT = 8

    def __init__(self, rank: int) -> None:
        self._rank = rank

    def get_rank(self) -> int:
        """0 at the server, 1 at the client."""
        return self._rank

    def get_world_size(self) -> int:
        """Two."""
        return 2


def _refuse(name: str) -> Callable[..., NoReturn]:
    def refused(*args: object, **kwargs: object) -> NoReturn:
        raise LocalProtocolError(f"CrypTen communicator: expected all_reduce or reduce, found {name}")

    return refused


for _name in (
    *("send", "recv", "isend", "irecv", "scatter", "gather", "all_gather", "broadcast", "barrier"),
    *("send_obj", "recv_obj", "broadcast_obj", "set_name", "get_name"),
):
    setattr(_TwoParty, _name, _refuse(_name))


class ChannelCommunicator(_TwoParty):
    """All-reduce as one simultaneous exchange of the shares, each side combining them itself: one round."""

    def __init__(self, rank: int, channel: Channel) -> None:
        """Speak as ``rank`` (0 server, 1 client) over ``channel``."""
        super().__init__(rank)
        self._channel = channel

    def all_reduce(self, input: Any, op: Any = ReduceOp.SUM, batched: bool = False) -> Any:
        """Combine both parties' int64 tensors (a list of them if ``batched``); both get the result."""
        return self._exchange(input, op, batched, sends=True, receives=True)

    def reduce(self, input: Any, dst: int, op: Any = ReduceOp.SUM, batched: bool = False) -> Any:
        """Like all_reduce, but only ``dst`` gets the result and the other party None: one message."""
        return self._exchange(input, op, batched, sends=self._rank != dst, receives=self._rank == dst)

    def _exchange(self, input: Any, op: Any, batched: bool, *, sends: bool, receives: bool) -> Any:
        combine = _combine(op)
        mine = [_words(tensor) for tensor in (input if batched else [input])]
        for words in mine if sends else ():
            self._send(words)
        if not receives:
            return None
        results = [self._combined(words, combine) for words in mine]
        return results if batched else results[0]

    def _send(self, words: NDArray[np.int64]) -> None:
        # The channel may still hold this view when we return; CrypTen opens temporaries only, never changed later.
        if words.size:
            self._channel.send(words.reshape(-1).data.cast("B"))

    def _combined(self, words: NDArray[np.int64], combine: _Combine) -> torch.Tensor:
        if not words.size:
            return torch.empty(words.shape, dtype=torch.int64)
        theirs = np.frombuffer(self._channel.recv(words.nbytes), dtype=np.int64)
        return torch.from_numpy(combine(words.reshape(-1), theirs)).reshape(words.shape)


class DryRunCommunicator(_TwoParty):
    """Exchanges nothing: an opening returns the share itself. For shapes only."""

    def all_reduce(self, input: Any, op: Any = ReduceOp.SUM, batched: bool = False) -> Any:
        """The input."""
        return input

    def reduce(self, input: Any, dst: int, op: Any = ReduceOp.SUM, batched: bool = False) -> Any:
        """The input."""
        return input


def _combine(op: Any) -> _Combine:
    if op not in _COMBINE:
        raise LocalProtocolError(f"CrypTen communicator: expected SUM or BXOR, found {op}")
    return _COMBINE[op]


def _words(tensor: torch.Tensor) -> NDArray[np.int64]:
    if tensor.dtype != torch.int64:
        raise LocalProtocolError(f"CrypTen communicator: expected int64 shares, found {tensor.dtype}")
    words: NDArray[np.int64] = tensor.detach().contiguous().numpy()
    return words
