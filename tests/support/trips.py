"""How many messages, each of which waited for the one before, a phase takes: counted, not timed.

Every message carries the length of the longest chain that led to it; who receives it goes on from there. Over a link on
which nothing but its delay takes time, the chain that ends at a party is its time in half round trips.
"""

from collections import deque
from typing import Any

from recording import Relay

from pi_system.protocols.half import Readable


class Chains(dict[str, int]):
    """The longest chain to each of ``server`` and ``client``; as ``wrap`` of tests/support/parties.py."""

    def __init__(self) -> None:
        super().__init__(server=0, client=0)
        self._under_way: dict[str, deque[int]] = {"server": deque(), "client": deque()}

    def __call__(self, role: str, inner: Any) -> Any:
        if role not in self:
            return inner  # a dealer's
        chains, mine = self, self._under_way[role]
        (theirs,) = (queue for peer, queue in self._under_way.items() if peer != role)

        class Counting(Relay):
            def send(self, data: Readable) -> None:
                theirs.append(chains[role] + 1)
                super().send(data)

            def recv(self, nbytes: int) -> memoryview:
                message = super().recv(nbytes)
                chains[role] = max(chains[role], mine.popleft())
                return message

        return Counting(inner)
