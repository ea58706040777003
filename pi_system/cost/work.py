"""Units of work, their prices, and moments on a clock that know what they are made of.

A price is what calibration finds for this machine: nanoseconds a unit. A moment is a time and, beside it, how many
units of each kind of work lie on the path that led to it. Waiting for the later of two moments takes over the later
one's path; so the end of a run is a sum over its critical path, linear in the prices as long as the path stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pi_system.backends.costs import all_units
from pi_system.channel.link import Link
from pi_system.errors import InvariantError

Work = NDArray[np.float64]
"""Units of every kind, (len(UNITS),), in the order of UNITS."""

LINEAR: Final = ("mac32", "mac64", "moved", "swept", "layer")
"""Weighted layers and local operations at the server; see layers.py."""
WOKEN: Final = "woken"
"""Messages that a link delays, online: whoever waits for one sleeps, and its core with it, and wakes late."""
PRICED: Final = tuple(
    dict.fromkeys((*LINEAR, "masked", "start", "gate", "hop", WOKEN, "byte", "stored_byte", *all_units()))
)
"""Kinds of work that calibration prices, in nanoseconds a unit; what a unit is, is said where it is counted."""
TRANSFER: Final = "transfer"
"""Nanoseconds that bytes keep a link of limited rate busy; the price is 1."""
ROUND_TRIP: Final = "round_trip"
"""Nanoseconds of the link's delay; the price is 1."""
UNITS: Final = (*PRICED, TRANSFER, ROUND_TRIP)

_INDEX: Final = {name: index for index, name in enumerate(UNITS)}
_FIXED: Final = {TRANSFER: 1.0, ROUND_TRIP: 1.0}


def work(**units: float) -> Work:
    """So many units of each named kind. Raises InvariantError for a kind that is none."""
    amounts = np.zeros(len(UNITS))
    for name, amount in units.items():
        if name not in _INDEX:
            raise InvariantError(f"cost model: expected a kind of work, found {name}")
        amounts[_INDEX[name]] += amount
    return amounts


def delayed(link: Link, messages: float) -> Work:
    """So many messages online, one after the other, of half a round trip each."""
    return work(**{ROUND_TRIP: 1e9 * messages * link.rtt_s / 2, WOKEN: messages if link.rtt_s else 0.0})


class Moment(NamedTuple):
    """A time in ns since the start of a run, and the work on the path to it."""

    ns: float
    path: Work


START: Final = Moment(0.0, np.zeros(len(UNITS)))


def later(one: Moment, other: Moment) -> Moment:
    """The moment at which both have passed."""
    return one if one.ns >= other.ns else other


@dataclass(frozen=True, slots=True)
class Prices:
    """ns a unit, (len(UNITS),)."""

    ns: Work

    @classmethod
    def of(cls, prices: Mapping[str, float]) -> "Prices":
        """Prices by name; what is not named is free."""
        return cls(work(**prices) + work(**_FIXED))

    def cost(self, units: Work) -> float:
        """Nanoseconds of that work."""
        return float(units @ self.ns)

    def after(self, moment: Moment, units: Work) -> Moment:
        """The moment at which that work, begun at ``moment``, is done."""
        return Moment(moment.ns + self.cost(units), moment.path + units)

    def part(self, units: Work, *names: str) -> float:
        """Nanoseconds of the named kinds in that work."""
        return sum(float(units[_INDEX[name]] * self.ns[_INDEX[name]]) for name in names)
