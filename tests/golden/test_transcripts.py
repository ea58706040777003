"""Pins what every protocol and phase sends, stores and ends up with when all of its randomness is fixed.

A failure says that bytes changed: on the wire, at rest, or in how a stream is derived. A refactor must not do that. A
change that means to: ``make golden``, a look at which views changed and why, a line in CHANGELOG.md, and, since both
parties and their stored material must agree, a new protocol version.
"""

import json

import pytest
from transcripts import CASES, GOLDEN


@pytest.mark.parametrize("case", CASES)
def test_transcript_is_the_golden_one(case: str) -> None:
    assert CASES[case]() == json.loads(GOLDEN.read_text())[case]


def test_no_case_is_left_over() -> None:
    assert list(json.loads(GOLDEN.read_text())) == list(CASES)
