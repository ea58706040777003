"""Numbers as text: three significant digits, an interval with the digits of its value, MB = 1e6 bytes."""

from typing import Final

from measuring.documents import decimals, number
from measuring.question import Answer

_MEGABYTE: Final = 1e6


def plain(answer: Answer) -> str:
    """Value and unit, none of a ratio."""
    value, _, _, unit = _scaled(answer)
    unit = "" if unit == "x" else unit
    if answer.low == answer.high and value == int(value):
        return f"{number(value, 0)} {unit}".strip()
    return f"{number(value)} {unit}".strip()


def interval(answer: Answer) -> str:
    """The 95 % interval, ``exact`` where there is none."""
    if answer.low == answer.high:
        return "exact"
    value, low, high, _ = _scaled(answer)
    places = decimals(value)
    while places < 6 and number(low, places) == number(high, places):
        places += 1
    return f"{number(low, places)} to {number(high, places)}"


def _scaled(answer: Answer) -> tuple[float, float, float, str]:
    """Value, low, high, unit; millions of bytes as MB."""
    if answer.unit == "bytes" and abs(answer.value) >= _MEGABYTE:
        return answer.value / _MEGABYTE, answer.low / _MEGABYTE, answer.high / _MEGABYTE, "MB"
    return answer.value, answer.low, answer.high, answer.unit
