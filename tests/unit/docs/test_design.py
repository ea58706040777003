"""DESIGN.md's table names every package and module at the top, and CONTRIBUTING.md's every folder of tests."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
DESIGN, CONTRIBUTING = (ROOT / "DESIGN.md").read_text(), (ROOT / "CONTRIBUTING.md").read_text()
NEW_BACKEND = (ROOT / "docs" / "how-to" / "add-a-backend.md").read_text()
BESIDE = {"server/pi_server/", "client/pi_client/", "benchmarks/"}


def first_cells(text: Any, heading: Any) -> Any:
    """What stands in backticks in the first column of the table with this heading."""
    table = text.partition(heading)[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line]
    return re.findall(r"`([^`]+)`", " ".join(cells))


def names_in(folder: Path, pattern: Any) -> Any:
    return {path.name for path in folder.glob(pattern)} - {"__init__.py"}


def test_every_package_is_in_the_table_and_no_other() -> None:
    listed = first_cells(DESIGN, "| folder | what it is |")
    packages = {f"{path.parent.name}/" for path in (ROOT / "pi_system").glob("*/__init__.py")}
    assert len(set(listed)) == len(listed)
    assert set(listed) == packages | names_in(ROOT / "pi_system", "*.py") | BESIDE
    assert all((ROOT / name).is_dir() for name in BESIDE)


@cache
def direct_imports(name: str) -> frozenset[str]:
    """Of a package or module at the top: the others that it imports itself."""
    found = set()
    for path in [ROOT / "pi_system" / f"{name}.py", *(ROOT / "pi_system" / name).rglob("*.py")]:
        nodes = ast.walk(ast.parse(path.read_text())) if path.exists() else ()
        modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        found |= {module.split(".")[1] for module in modules if module.startswith("pi_system.")}
    return frozenset(found - {name})


@cache
def with_imports(name: str) -> frozenset[str]:
    return frozenset({name}).union(*map(with_imports, direct_imports(name)))


def test_packages_import_what_the_table_says() -> None:
    table = DESIGN.partition("| folder | what it is |")[2].partition("\n\n")[0]
    for row in table.splitlines()[2:]:
        cells = row.strip("| ").split(" | ")
        if cells[-1] == "everything":
            continue
        names = {name.removesuffix("/").removesuffix(".py") for name in re.findall(r"`([^`]+)`", cells[0])}
        said = set(cells[-1].split(", ")) - {"nothing"}
        direct = set().union(*map(direct_imports, names)) - names
        assert said <= direct, row
        assert direct <= set().union(*map(with_imports, said)), row


def test_every_folder_of_tests_is_in_the_table_and_no_other() -> None:
    folders = {f"{path.name}/" for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.glob("**/*.*"))}
    assert set(first_cells(CONTRIBUTING, "| folder | what it is for |")) == folders - {"__pycache__/"}


@pytest.mark.parametrize("text", [DESIGN, CONTRIBUTING, NEW_BACKEND], ids=["DESIGN", "CONTRIBUTING", "add-a-backend"])
def test_files_that_are_named_exist(text: str) -> None:
    bases = [ROOT, ROOT / "pi_system", ROOT / "tests", *(ROOT / "pi_system").glob("*/")]
    for path in re.findall(r"`([\w.-]+/[\w./-]+)[`:]", text):
        assert any((base / path).exists() for base in bases), path


def test_packages_say_what_they_are_for() -> None:
    files = [path for folder in ("pi_system", "server", "client") for path in (ROOT / folder).rglob("__init__.py")]
    assert len(files) > 20
    for path in files:
        said = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert " " in said, path


def test_sources_are_ones_that_a_reader_has() -> None:
    """A section of DESIGN.md, a paper: not a note of the authors' own."""
    for path in [*(ROOT / "pi_system").rglob("*.py"), *(ROOT / "pi_system").rglob("*.cpp")]:
        assert not re.search(r"\bdesign \d|\(design[:)]|the issue's", path.read_text()), path


def test_one_relu_is_followed_in_six_files_that_hold_what_they_are_read_for() -> None:
    table = DESIGN.partition("| | file | what to read |\n|---|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:4] for line in table.splitlines()]
    assert [number.strip() for number, _, _ in rows] == ["1", "2", "3", "4", "5", "6"]
    for _, file, said in rows:
        source = (ROOT / file.strip(" `")).read_text()
        names = re.findall(r"`(\w+)`", said)
        assert names
        assert all(re.search(rf"^ *(class|def) {name}\b", source, re.MULTILINE) for name in names), file


def test_classes_that_the_glossary_names_exist() -> None:
    glossary = DESIGN.partition("## Glossary")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([A-Z]\w+)`", glossary))
    sources = [*(ROOT / "pi_system").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    assert named
    assert named <= {name for path in sources for name in re.findall(r"^class (\w+)", path.read_text(), re.MULTILINE)}


def test_what_the_registry_asks_of_a_new_backend_is_in_the_guide() -> None:
    registry = (ROOT / "pi_system" / "backends" / "registry.py").read_text()
    asked = re.findall(r"^([A-Z_]+): Final.* = [({]", registry, re.MULTILINE)
    assert len(asked) == 5
    assert all(f"`{name}`" in NEW_BACKEND for name in asked)


SAME = {"Square"}  # the torch module is exported as the graph's node of its name


def test_one_name_a_thing() -> None:
    """No two public classes of the product have one name."""
    folders = (ROOT / "pi_system", ROOT / "server", ROOT / "client")
    sources = [path for folder in folders for path in folder.rglob("*.py") if "_proto" not in path.parts]
    named = [name for path in sources for name in re.findall(r"^class ([A-Z]\w*)", path.read_text(), re.MULTILINE)]
    assert len(named) > 300
    assert {name for name, times in Counter(named).items() if times > 1} == SAME


def test_a_decision_stands_once_under_its_own_heading() -> None:
    decisions = (ROOT / "docs" / "explanation" / "decisions.md").read_text()
    headings = re.findall(r"^## .*", decisions, re.MULTILINE)
    assert len(set(headings)) == len(headings)
    assert all(f"\n\n{heading}\n" in decisions for heading in headings)
