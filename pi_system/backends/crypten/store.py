"""One party's unused correlations of backend ``crypten``, in memory, for one session."""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pi_system.backends.crypten.dealer import (
    SEED_BYTES,
    draw_operands,
    draw_result,
    inference_stream,
)
from pi_system.backends.crypten.plan import CorrelationPlan, Item
from pi_system.channel.base import Channel
from pi_system.errors import (
    CorrelationExhaustedError,
    CorrelationMismatchError,
    CorrelationReusedError,
)


@dataclass(frozen=True, slots=True)
class Shares:
    """A party's shares of one item: its operands and its result, int64."""

    item: Item
    operands: tuple[torch.Tensor, ...]
    result: torch.Tensor


Expanded = deque[Shares]
"""One inference's correlations in the order of the plan, expanded."""


@dataclass(frozen=True, slots=True)
class _Sealed:
    """One inference's correlations as the dealer sent them; ``corrections`` is None at the client."""

    seed: bytes
    index: int
    corrections: tuple[NDArray[np.int64], ...] | None


class CorrelationStore:
    """Correlations that were dealt, taken, or used; every identifier is taken once.

    Material is kept sealed (seed and corrections) and expanded when it is taken: a third of the memory, and
    expanding stays out of the online phase.
    """

    def __init__(self, plan: CorrelationPlan, *, is_server: bool) -> None:
        """An empty store of the server (which receives corrections) or of the client."""
        self._plan, self._is_server = plan, is_server
        self._sealed: dict[str, _Sealed] = {}
        self._taken: dict[str, Expanded] = {}
        self._added = 0

    def available(self) -> int:
        """Inferences not taken yet."""
        return len(self._sealed)

    def receive(self, count: int, dealer: Channel) -> None:
        """Add ``count`` inferences from the dealer's stream; the client's part is one seed."""
        seed = bytes(dealer.recv(SEED_BYTES))
        for index in range(count):
            self._add(_Sealed(seed, index, self._corrections(dealer) if self._is_server else None))

    def next_ids(self, count: int) -> tuple[str, ...]:
        """Identifiers of the ``count`` oldest unused inferences.

        Raises:
            CorrelationExhaustedError: fewer than ``count`` are left.
        """
        if count > len(self._sealed):
            raise CorrelationExhaustedError(
                f"expected material for {count} inferences, found {len(self._sealed)}; prepare more first"
            )
        return tuple(self._sealed)[:count]

    def take(self, ids: tuple[str, ...]) -> None:
        """Mark ``ids`` used and expand their material. Nothing is taken when one of them is refused.

        Raises:
            CorrelationReusedError: one was taken before, or is named twice.
            CorrelationMismatchError: this store never held it.
        """
        for name in ids:
            if name not in self._sealed:
                known = name.isascii() and name.isdigit() and int(name) < self._added
                kind = CorrelationReusedError if known else CorrelationMismatchError
                raise kind(f"expected unused material, found id {name[:20]!r}")
        if len(set(ids)) != len(ids):
            raise CorrelationReusedError("expected different ids, found one twice")
        for name, sealed in [(name, self._sealed.pop(name)) for name in ids]:
            self._taken[name] = self._expand(sealed)

    def use(self, name: str) -> Expanded:
        """The expanded material of a taken id, once. Raises CorrelationReusedError when it was not taken."""
        if name not in self._taken:
            raise CorrelationReusedError(f"expected reserved material, found id {name[:20]!r}")
        return self._taken.pop(name)

    def add_empty(self, count: int) -> None:
        """Add ``count`` inferences that need no correlations (insecure first-party provider)."""
        for _ in range(count):
            self._add(_Sealed(bytes(SEED_BYTES), 0, ()))

    def _add(self, sealed: _Sealed) -> None:
        self._sealed[str(self._added)] = sealed
        self._added += 1

    def _corrections(self, dealer: Channel) -> tuple[NDArray[np.int64], ...]:
        sizes = (8 * math.prod(item.result_shape()) for item in self._plan.items)
        return tuple(np.frombuffer(dealer.recv(nbytes), dtype=np.int64) for nbytes in sizes)

    def _expand(self, sealed: _Sealed) -> Expanded:
        stream = inference_stream(sealed.seed, sealed.index)
        material: Expanded = deque()
        for position, item in enumerate(self._plan.items):
            operands = draw_operands(item, stream)
            if sealed.corrections is None:
                result = draw_result(item, stream)
            else:
                # A copy: CrypTen adds to the result in place, and what a channel returns may be read-only.
                words = sealed.corrections[position].copy()
                result = torch.from_numpy(words).reshape(item.result_shape())
            material.append(Shares(item, operands, result))
        return material
