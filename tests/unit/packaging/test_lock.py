"""constraints-ci.txt: exact versions of everything that pyproject.toml names, within its ranges."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
LINES = [line for line in (ROOT / "constraints-ci.txt").read_text().splitlines() if not line.startswith("#")]
LOCK = [Requirement(line) for line in LINES]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]
NAMED = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"], *GROUPS["dev"], *GROUPS["fuzz"]]


def applies(requirement):
    return requirement.marker is None or requirement.marker.evaluate()


def locked(name):
    """The version for this Python."""
    pins = [pin for pin in LOCK if canonicalize_name(pin.name) == canonicalize_name(name) and applies(pin)]
    assert len(pins) == 1, name
    (exact,) = pins[0].specifier
    assert exact.operator == "=="
    return exact.version


@pytest.mark.parametrize("text", NAMED)
def test_what_is_named_is_locked_within_its_range(text):
    requirement = Requirement(text)
    if applies(requirement):
        assert locked(requirement.name) in requirement.specifier


def test_torch_is_the_tested_version():
    assert locked("torch") == "2.13.0"


def test_lock_names_no_range():
    for pin in LOCK:
        assert [one.operator for one in pin.specifier] == ["=="], pin
