"""Console blocks of documents: one form, marks with known reasons, and options that the programs have.

tests/integration/test_documents_run.py runs those that are not marked.
"""

import re
import shlex
from pathlib import Path

import click
import pytest
from console import REASONS, Block, blocks, missing, pattern

from pi_client.cli import main as client
from pi_server.cli import main as server
from pi_system.cli.dealer import main as dealer
from pi_system.cli.train import main as train

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PROGRAMS: dict[str, click.Command] = {
    "pi-client": client,
    "pi-server": server,
    "pi-dealer": dealer,
    "pi-train": train,
}
FOUND = [(page, block) for page in PAGES for block in blocks(page.read_text())]


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_commands_stand_in_console_fences_alone(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"^```(?:bash|sh|shell|text|zsh)$", text, re.MULTILINE)
    assert not re.search(r"^(?: {4}|\t)(?:\$ |pi-\w+ |python |make |benchmarks/)", text, re.MULTILINE)
    for block in blocks(text):
        commands = [line for line in block.text.splitlines() if line.startswith("$ ")]
        assert bool(commands) == (block.language == "console"), f"{names(page)}:{block.line}"


def test_a_mark_has_a_known_reason_and_a_block_below_it() -> None:
    for page in PAGES:
        marks = re.findall(r"<!-- not run: (.*?) -->", page.read_text())
        assert marks == [block.reason for block in blocks(page.read_text()) if block.reason], names(page)
        for reason in marks:
            by = re.fullmatch(r"run by (tests/\S+\.py)", reason)
            assert (ROOT / by[1]).exists() if by else reason in REASONS, f"{names(page)}: {reason}"


def commands(block: Block) -> list[list[str]]:
    """The words of each call of one of the project's programs."""
    found = []
    for command, _ in block.commands:
        words = shlex.split(command, comments=True)
        while words and words[0] not in PROGRAMS:
            words = words[1:]
        if words and "$(" not in command:
            found.append(words)
    return found


@pytest.mark.parametrize(
    ("page", "block"),
    [(p, b) for p, b in FOUND if b.language == "console"],
    ids=lambda value: getattr(value, "name", ""),
)
def test_options_are_those_that_the_programs_have(page: Path, block: Block) -> None:
    for words in commands(block):
        command = PROGRAMS[words[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        for word in words[1:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in options, f"{names(page)}:{block.line}: {' '.join(words)}"
            elif isinstance(command, click.Group) and word in command.commands:
                command = command.commands[word]
                secondary = {option for parameter in command.params for option in parameter.secondary_opts}
                options |= {option for parameter in command.params for option in parameter.opts} | secondary


def test_no_program_is_given_a_file_as_an_argument() -> None:
    """A photograph is longer than a system's longest argument; what a shell itself prints has no bound."""
    for page, block in FOUND:
        for command, _ in block.commands if block.language == "console" else ():
            assert not re.search(r"\bcurl[^|]*\$\(", command), f"{names(page)}:{block.line}: {command}"


def test_numbers_and_ellipses_stand_for_any() -> None:
    assert re.search(pattern("online 51.6 ms, ... to the client"), "online   1,051.2 ms, 3 rounds, 5 to the client")
    assert not re.search(pattern("online 51.6 ms"), "offline 51.6 ms")
    assert missing("a\nb 12\nc", ["a", "...", "b 7"]) is None
    assert missing("b\na", ["a", "b"]) == "b"


def test_a_block_is_read_with_its_mark_and_its_lines() -> None:
    (first, second) = blocks("x\n<!-- not run: why -->\n```console\n$ a \\\n  b\nc\n```\n\n```python\n# d.py\n```\n")
    assert (first.language, first.reason, first.line, first.commands) == ("console", "why", 2, [("a   b", ["c"])])
    assert (second.language, second.reason) == ("python", None)
