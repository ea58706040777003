"""What a log is told of a long offline phase, where stderr is no terminal."""

import re
import time
from dataclasses import dataclass
from typing import Any

import pytest

from pi_client import progress
from pi_client.preparation import Preparation
from pi_client.progress import Bars, shown


@dataclass
class Session:
    """One of ``ready`` inferences, through which ``passed`` bytes have gone."""

    ready: int = 0
    passed: int = 0

    def available(self) -> int:
        return self.ready

    def prepared_bytes(self) -> int:
        return self.passed


def of(session: Any, traffic: int | None = 8_000_000) -> Preparation:
    return Preparation(session, 4, 4, 0, None, 0, traffic)


@pytest.mark.parametrize(
    ("passed", "traffic", "line"),
    [
        (0, 8_000_000, "prepared 1/4 inferences, 0.0 of at most 8.0 MB passed in 20 s"),
        (2_000_000, 8_000_000, "prepared 1/4 inferences, 2.0 of at most 8.0 MB passed in 20 s, about 60 s left"),
        (9_000_000, 8_000_000, "prepared 1/4 inferences, 8.0 of at most 8.0 MB passed in 20 s, about 0 s left"),
        (2_000_000, None, "prepared 1/4 inferences, 2.0 MB passed in 20 s"),
    ],
)
def test_a_line_says_what_is_ready_and_what_is_left(passed: int, traffic: int | None, line: str) -> None:
    assert of(Session(1, passed), traffic).line_after(20) == line


def test_a_long_phase_says_where_it_is_and_a_short_one_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Bars().preparing(lambda: of(Session())):
        pass
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(progress, "_SAY_S", 0.01)
    session, until_s, found = Session(), time.monotonic() + 30, ""
    with shown(lambda: of(session)):
        while "4/4" not in found:
            assert time.monotonic() < until_s
            session.ready, session.passed = min(4, session.ready + 1), session.passed + 1_000_000
            time.sleep(0.02)
            found += capsys.readouterr().err
    lines = found.splitlines()
    assert len(lines) > 2
    assert all(re.match(r"prepared \d/4 inferences, \d\.0 of at most 8\.0 MB passed in 0 s", line) for line in lines)
    capsys.readouterr()
    time.sleep(0.05)
    assert capsys.readouterr() == ("", "")
