"""Numbers as text: three significant digits, an interval with the digits of its value, MB = 1e6 bytes."""

from typing import Final

from measuring.documents import decimals, number
from measuring.question import Answer

_MEGABYTE: Final = 1e6
_UNITLESS: Final = ("", "ratio", "x", "1")


def plain(answer: Answer) -> str:
    """Value and unit."""
    value, _, _, unit = _scaled(answer)
    if answer.low == answer.high and value == int(value):
        return quantity(number(value, 0), unit)
    return quantity(number(value), unit)


def interval(answer: Answer) -> str:
    """The 95 % interval, ``exact`` where there is none."""
    if answer.low == answer.high:
        return "exact"
    value, low, high, _ = _scaled(answer)
    places = decimals(value)
    while places < 6 and number(low, places) == number(high, places):
        places += 1
    return f"{number(low, places)} to {number(high, places)}"


def quantity(text: str, unit: str) -> str:
    """``text`` with its unit, ``times`` for a ratio."""
    if unit in _UNITLESS:
        return text
    return f"{text} %" if unit in ("%", "percent") else f"{text} {unit}"


def _scaled(answer: Answer) -> tuple[float, float, float, str]:
    """Value, low, high, unit; millions of bytes as MB."""
    if answer.unit == "bytes" and abs(answer.value) >= _MEGABYTE:
        return answer.value / _MEGABYTE, answer.low / _MEGABYTE, answer.high / _MEGABYTE, "MB"
    return answer.value, answer.low, answer.high, answer.unit
