"""Who gets a session's place, and who waits for how long: pure bookkeeping, driven by the supervisor.

A client that finds no place is told when to ask again and gets a ticket, so nobody who waits costs a connection.
Whoever holds fewest places comes first, by certificate and then by client, then whoever came first. A place is kept for
who has fewer places, and for its like that were told to come about now; it does not stand free for a crowd that sleeps.
Sessions that prepare leave some places to those that infer. Tickets are bounded; where all are out, the certificate
that has most of them gives one up.
"""

import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from pi_system.errors import BusyError

_KEPT_S: Final = 0.15
"""How long a free place waits for its like, before and after the moment it was told to come."""
_GIVEN_WAY_S: Final = 0.3
"""The same before it, where somebody asks who was not told to come now: asking more often must not help."""
_LATE_S: Final = 1.0
"""How long after that moment one that has fewer places is still waited for."""
_FORGOTTEN_S: Final = 5.0
"""How late a ticket may be: after that its client is taken to be gone."""
_SHORTEST_S: Final = 0.5
_NEXT_S: Final = 2.0
_LONGEST_S: Final = 20.0
"""Of what a client is told to wait, and of those next in turn. Shorter: each time it asks costs a TLS handshake, which
60 who wait feel. Longer: places stand free for those who sleep on when others give up."""
_MARGIN: Final = 1.25
"""What a client is told to wait beside what is expected: too early costs one more question, too late little, because it
is then among the first."""
_SMOOTHED: Final = 0.2


@dataclass(slots=True)
class _Session:
    client: str
    owner: str
    preparing: bool
    since_s: float


@dataclass(slots=True)
class _Ticket:
    client: str
    owner: str
    prepares: bool
    number: int
    due_s: float = math.inf
    most: float = math.inf


class Admission:
    """Places of one server.

    Attributes:
        granted: sessions admitted so far.
        refused: times a client was told to wait or to go.
    """

    def __init__(
        self,
        places: int,
        preparing: int,
        *,
        max_waiting: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ):
        """``places`` sessions at once, ``preparing`` of them in the offline phase; ``max_waiting`` tickets."""
        self.places, self._preparing, self._max_waiting, self._clock = places, preparing, max_waiting, clock
        self._sessions: dict[Hashable, _Session] = {}
        self._waiting: dict[str, _Ticket] = {}
        self._usual_s = 1.0
        self._numbers = 0
        self.granted = self.refused = 0

    @property
    def taken(self) -> int:
        """Places in use."""
        return len(self._sessions)

    @property
    def preparing(self) -> int:
        """Sessions in the offline phase."""
        return sum(session.preparing for session in self._sessions.values())

    @property
    def waiting(self) -> int:
        """Clients with a ticket that are expected to come."""
        self._forget()
        return len(self._waiting)

    @property
    def pressed(self) -> bool:
        """Somebody waits for nothing but a place."""
        self._forget()
        return self.taken >= self.places and any(self._may(ticket) for ticket in self._waiting.values())

    def enter(
        self, session: Hashable, client: str, ticket: str, *, prepares: bool, owner: str = "", most: float | None = None
    ) -> BusyError | None:
        """A client asks for a session; None: it has a place.

        Args:
            session: its key in ``leave``; one that has a place already gets no second.
            client: who asks.
            ticket: of an earlier refusal; anything else is no ticket.
            prepares: its session starts with an offline phase.
            owner: the client as its certificate names it.
            most: sessions that the owner may have at once; None: any number.
        """
        name, mine = self._ticket(client, owner, ticket, prepares)
        if mine is not None:
            mine.most = math.inf if most is None else most
        if mine is not None and session not in self._sessions and self._has_turn(mine):
            self._waiting.pop(name, None)
            self._sessions[session] = _Session(client, owner, prepares, self._clock())
            self.granted += 1
            return None
        return self._refuse(name, mine)

    def prepare(self, session: Hashable) -> BusyError | None:
        """A session's offline phase starts; None: it may."""
        found = self._sessions[session]
        if not found.preparing:
            free = self.taken < self.places
            ahead = free and any(ticket.prepares and self._may(ticket) for ticket in self._waiting.values())
            if ahead or self.preparing >= self._preparing:
                return self._refuse(*self._ticket(found.client, found.owner, "", prepares=True))
            found.preparing = True
        return None

    def prepared(self, session: Hashable) -> None:
        """A session's offline phase is over; it keeps its place."""
        self._sessions[session].preparing = False

    def leave(self, session: Hashable) -> None:
        """A session is over, or its worker; without effect where it had no place."""
        if found := self._sessions.pop(session, None):
            self._usual_s += _SMOOTHED * (self._clock() - found.since_s - self._usual_s)

    def _ticket(self, client: str, owner: str, ticket: str, prepares: bool) -> tuple[str, _Ticket | None]:
        """The client's ticket, renewed or new, and its name; None: too many wait."""
        self._forget()
        found = self._waiting.get(ticket)
        if found is None or found.client != client:
            if len(self._waiting) >= self._max_waiting and not self._crowd_out(owner):
                return "", None
            self._numbers += 1
            ticket, found = secrets.token_hex(16), _Ticket(client, owner, prepares, self._numbers)
        found.prepares = prepares
        return ticket, found

    def _crowd_out(self, owner: str) -> bool:
        """Take its last ticket from whoever has most, if ``owner`` has fewer: a crowd of one keeps nobody else out."""
        counts = Counter(ticket.owner for ticket in self._waiting.values())
        ((largest, most),) = counts.most_common(1)
        if most <= counts[owner] + 1:
            return False
        del self._waiting[max((one.number, name) for name, one in self._waiting.items() if one.owner == largest)[1]]
        return True

    def _has_turn(self, mine: _Ticket) -> bool:
        """Whether the free places go round to ``mine``."""
        free, preparing, now_s = self.places - self.taken, self._preparing - self.preparing, self._clock()
        rank, told = self._rank(mine), mine.due_s <= now_s + _KEPT_S
        until_s = now_s + (_KEPT_S if told else _GIVEN_WAY_S)
        for ticket in self._in_turn(mine):
            if free <= 0:
                return False
            if ticket is mine:
                return self._may(mine) and (not mine.prepares or preparing > 0)
            like = self._rank(ticket) == rank
            expected = now_s - _KEPT_S <= ticket.due_s <= until_s if like else ticket.due_s >= now_s - _LATE_S
            if expected and self._may(ticket) and (not ticket.prepares or preparing > 0):
                free, preparing = free - 1, preparing - ticket.prepares
        return False

    def _rank(self, ticket: _Ticket) -> tuple[int, int]:
        """Who has fewest places comes first: by certificate, then by client."""
        sessions = self._sessions.values()
        return sum(one.owner == ticket.owner for one in sessions), sum(one.client == ticket.client for one in sessions)

    def _may(self, ticket: _Ticket) -> bool:
        """Whether its owner may have one session more."""
        return self._rank(ticket)[0] < ticket.most

    def _in_turn(self, mine: _Ticket) -> list[_Ticket]:
        waiting = [ticket for ticket in self._waiting.values() if ticket is not mine]
        return sorted([*waiting, mine], key=lambda one: (self._rank(one), one.number))

    def _refuse(self, name: str, mine: _Ticket | None) -> BusyError:
        self.refused += 1
        if mine is None:
            return BusyError(f"server: {len(self._waiting)} clients wait already, come later", _LONGEST_S, "")
        before = next(i for i, ticket in enumerate(self._in_turn(mine)) if ticket is mine)
        longest_s = _NEXT_S if before < self.places else _LONGEST_S
        retry_s = min(longest_s, max(_SHORTEST_S, _MARGIN * (before + 1) * self._usual_s / self.places))
        mine.due_s = self._clock() + retry_s
        self._waiting[name] = mine
        if not self._may(mine):
            return BusyError(f"server: client {mine.owner} has its {mine.most:g} sessions already", retry_s, name)
        what = "preparing" if mine.prepares else "inference"
        return BusyError(f"server: no place for {what} is free, {before} clients are before this one", retry_s, name)

    def _forget(self) -> None:
        late_s = self._clock() - _FORGOTTEN_S
        for name in [name for name, ticket in self._waiting.items() if ticket.due_s < late_s]:
            del self._waiting[name]
