"""Files and functions of the code that people read stay of a readable size (CONTRIBUTING)."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = ("pi_system", "server", "client", "benchmarks", "scripts")


def _sources() -> Iterator[tuple[Path, str]]:
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if "_proto" not in path.parts:
                yield path, path.read_text()


def test_files_and_functions_are_short() -> None:
    lengths, long = [], []
    for path, text in _sources():
        lengths.append(len(text.splitlines()))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60:
                long.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert len(lengths) > 100
    assert statistics.median(lengths) <= 120
    assert long == []
