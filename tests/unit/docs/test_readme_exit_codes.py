"""README's exit codes are those of the errors."""

import re
from pathlib import Path

from pi_system import errors

README = (Path(__file__).resolve().parents[3] / "README.md").read_text()


def test_every_exit_code_is_in_the_readme():
    (listed,) = re.findall(r"an exit code: (.*?)\(`pi_system/errors\.py`\)", README, re.DOTALL)
    stated = set()
    for first, last in re.findall(r"\b(\d+)(?: to (\d+))?\b", listed):
        stated |= set(range(int(first), int(last or first) + 1))
    codes = {getattr(errors, name).exit_code for name in errors.__all__} - {1}
    assert codes <= stated
    assert all(any(code in range(low, low + 10) for code in codes) for low in {10 * (c // 10) for c in stated} - {0})


def test_every_error_is_in_the_modules_table():
    table = dict(re.findall(r"^ +(\w+Error) +(\d+)", errors.__doc__, re.MULTILINE))
    assert table == {name: str(getattr(errors, name).exit_code) for name in errors.__all__}
