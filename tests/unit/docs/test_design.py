"""DESIGN.md's table names every package and module at the top, and CONTRIBUTING.md's every folder of tests."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DESIGN, CONTRIBUTING = (ROOT / "DESIGN.md").read_text(), (ROOT / "CONTRIBUTING.md").read_text()
BESIDE = {"server/pi_server/", "client/pi_client/", "benchmarks/"}


def first_cells(text, heading):
    """What stands in backticks in the first column of the table with this heading."""
    table = text.partition(heading)[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line]
    return re.findall(r"`([^`]+)`", " ".join(cells))


def names_in(folder, pattern):
    return {path.name for path in folder.glob(pattern)} - {"__init__.py"}


def test_every_package_is_in_the_table_and_no_other():
    listed = first_cells(DESIGN, "| folder | what it is |")
    packages = {f"{path.parent.name}/" for path in (ROOT / "pi_system").glob("*/__init__.py")}
    assert len(set(listed)) == len(listed)
    assert set(listed) == packages | names_in(ROOT / "pi_system", "*.py") | BESIDE
    assert all((ROOT / name).is_dir() for name in BESIDE)


def test_every_folder_of_tests_is_in_the_table_and_no_other():
    folders = {f"{path.name}/" for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.glob("**/*.*"))}
    assert set(first_cells(CONTRIBUTING, "| folder | what it is for |")) == folders - {"__pycache__/"}


def test_files_that_contributing_names_exist():
    for path in re.findall(r"`((?:pi_system|tests|scripts|backends|protocols|reduce|rpc)/[\w./]+)`", CONTRIBUTING):
        assert any((ROOT / base / path).exists() for base in ("", "pi_system")), path
