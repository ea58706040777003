"""docs/reference/python-api.md names what is public, all of it and nothing else, with arguments that there are."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import pi_system as pi
from pi_system.backends.registry import AUTO, BACKENDS

DOC = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "python-api.md").read_text()
CALLS = re.findall(r"^\| `(pi|model)\.(\w+)\(([^)]*)\)`", DOC, re.MULTILINE)


def test_every_public_name_is_listed_and_no_other() -> None:
    assert set(re.findall(r"(?<![\w.])pi\.(\w+)", DOC)) == set(pi.__all__)


def test_every_name_is_in_the_tables_cells() -> None:
    cells = " ".join(line for line in DOC.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`[^`]*\bpi\.(\w+)", cells)) == set(pi.__all__)


@pytest.mark.parametrize(("owner", "name", "arguments"), CALLS)
def test_arguments_are_those_of_the_code(owner: str, name: str, arguments: str) -> None:
    found: Any = getattr(pi if owner == "pi" else pi.Model, name)
    parameters = inspect.signature(found).parameters
    given = [argument.strip() for argument in arguments.split(",")]
    for keyword in (argument.partition("=")[0] for argument in given if "=" in argument):
        assert keyword in parameters
    for default in (argument for argument in given if argument.endswith('"') and "=" in argument):
        keyword, _, value = default.partition("=")
        assert parameters[keyword].default == value.strip('"')


def test_every_call_is_listed() -> None:
    assert len(CALLS) == 12
    methods = {name for name, _ in inspect.getmembers(pi.Model, inspect.isfunction) if not name.startswith("_")}
    assert methods == {name for owner, name, _ in CALLS if owner == "model"}
    for kind in (pi.Client, pi.Server):
        for name, _ in inspect.getmembers(kind, inspect.isfunction):
            assert name.startswith("_") or re.search(rf"[` .]{name}\(", DOC), name


def test_what_results_have_is_listed() -> None:
    section = DOC.partition("**Results**")[2].partition("\n\n")[0]
    for kind in (pi.Result, pi.Answer, pi.Cost):
        names = {name for name in dir(kind) if not name.startswith("_")} - {
            "model",
            "reveal",
            "outputs",
            "offline_count",
        }
        assert not {name for name in names if not re.search(rf"`{name}(\(\))?`", section)}


def test_every_backend_is_listed() -> None:
    table = DOC.partition("| backend | third party |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == [AUTO, *BACKENDS]


@pytest.mark.parametrize("place", [pi.Client.__init__, pi.Model.predict, pi.profile])
def test_docstrings_name_every_backend(place: Any) -> None:
    (said,) = re.findall(r"^\s*backend: (.*); auto: the fastest .*$", place.__doc__ or "", re.MULTILINE)
    here = [name for name in BACKENDS if not (place is pi.Model.predict and name == "crypten")]
    assert re.split(r", | or ", said) == here
