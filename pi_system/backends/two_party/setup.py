"""What two parties set up once a session: ends of oblivious transfer, encryption, the server's transformed weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

T = TypeVar("T")

SETUP_PICTURES: Final = 1000
"""A call that starts after so many pictures sets up anew. More: one Delta and one key have more targets, of which the
threat model counts those of a thousand preparations. Fewer: a setup, 0.1 to 0.4 s, more often."""


class SessionSetup(Generic[T]):
    """One party's; the peer, whose calls are the same, has the other. None outlives an error or the session."""

    def __init__(self) -> None:
        """Nothing is set up."""
        self._pictures = 0
        self._made: T | None = None

    @contextmanager
    def taken(self, make: Callable[[], T]) -> Iterator[T]:
        """For one call of ``prepare``; ``make``, this party's side of the setup, is called if there is none."""
        made, self._made = self._made, None  # after an error the parties may have stopped at different places
        if made is None:
            made, self._pictures = make(), 0
        yield made
        if self._pictures < SETUP_PICTURES:
            self._made = made

    def picture(self) -> None:
        """Count one that is about to be prepared."""
        self._pictures += 1
