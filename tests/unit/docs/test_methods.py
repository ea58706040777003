"""docs/methods.md has a row for every method, which says of it what its class says."""

from pathlib import Path

from pi_system.reduce.registry import METHODS, describe

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_every_method_has_its_row():
    head = "| method | what it reduces | source | what differs from the paper |\n|---|---|---|---|\n"
    table = (DOCS / "methods.md").read_text().partition(head)[2].partition("\n\n")[0]
    rows = {cells[0]: cells[1:] for cells in ([c.strip() for c in r.split(" | ")] for r in table.splitlines())}
    assert list(rows) == [f"| `{name}`" for name in METHODS]
    for name in METHODS:
        reduces, source, differs = rows[f"| `{name}`"]
        assert (reduces, source) == (describe(name).reduces, describe(name).source)
        assert differs.endswith(" |")
