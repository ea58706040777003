"""Console blocks of documents, run as a reader would type them: in order, in a folder of the page's own.

A block is a fence of the language ``console``. A line that begins with ``$ `` is a command, to be continued after a
backslash; the lines below it are what it prints, in order, among other lines: ``...`` stands for any text and a number
for any number. A command that ends with ``&`` is a service: it is waited for until it listens, and ended with the page.
A fence of ``python`` or ``toml`` whose first line is a comment that begins with a file's name is that file.
``photo.png`` is there, as any reader has one. ``<!-- not run: REASON -->`` on the line before a fence leaves it out.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from PIL import Image

REASONS: Final = (
    "trains for minutes or hours",
    "measures for minutes or hours",
    "builds or tests the whole project",
    "needs a Docker engine",
    "works in a checkout",
    "needs another machine",
    "needs packages or data that are not part of this project",
)
"""Why a block may be left out; or ``run by tests/.../test_x.py``."""

_FENCE: Final = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_FILE: Final = re.compile(r"# ([\w.-]+\.(?:py|toml))\b")
_PLACE: Final = re.compile(r"\b(?:127\.0\.0\.1|0\.0\.0\.0|[\w-]+\.example\.org):(\d{4,5})\b")
_NUMBER: Final = re.compile(r"\d[\d,.]*\d|\d")
START_S: Final = 120.0
COMMAND_S: Final = 240.0


@dataclass(frozen=True, slots=True)
class Block:
    """One fence of a document; ``reason``: why it is not run."""

    language: str
    text: str
    reason: str | None
    line: int

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """Each command and the lines below it."""
        found: list[tuple[str, list[str]]] = []
        for line in re.sub(r"\\\n", "", self.text).splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.strip() and found:
                found[-1][1].append(line.rstrip())
        return found


def blocks(document: str) -> list[Block]:
    """Every fence, in order."""
    return [
        Block(m["language"], m["text"], m["reason"], document.count("\n", 0, m.start()) + 1)
        for m in _FENCE.finditer(document)
    ]


def pattern(line: str) -> str:
    """What output matches a line of a document: numbers are any numbers, ... is any text."""
    parts = []
    for part in line.split("..."):
        at, text = 0, ""
        for number in _NUMBER.finditer(part):
            text += re.escape(part[at : number.start()]) + r"\d[\d,.]*"
            at = number.end()
        parts.append(text + re.escape(part[at:]))
    return re.sub(r"(?:\\ )+", r"\\s+", ".*".join(parts))


def missing(printed: str, expected: list[str]) -> str | None:
    """The first expected line that output lacks, in order."""
    rest = iter(printed.splitlines())
    for line in expected:
        if line.strip() != "..." and not any(re.search(pattern(line), found) for found in rest):
            return line
    return None


@dataclass
class Page:
    """A folder in which the blocks of one document run, with its services."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    services: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def __post_init__(self) -> None:
        self._work.mkdir(parents=True)
        Image.effect_mandelbrot((48, 32), (-2.0, -1.0, 1.0, 1.0), 50).convert("RGB").save(self._work / "photo.png")

    def run(self, block: Block) -> None:
        """Write its file, or run its commands. Raises AssertionError: a command fails, or prints something else."""
        if block.language in ("python", "toml"):
            if named := _FILE.match(block.text):
                (self._work / named[1]).write_text(self._placed(block.text))
        elif block.language == "console":
            for command, expected in block.commands:
                self._command(self._placed(command), [self._placed(line) for line in expected])

    def end(self) -> None:
        """End the services; each has a group of its own."""
        for service in self.services:
            os.killpg(service.pid, signal.SIGTERM)
        for service in self.services:
            service.wait(60)

    @property
    def _work(self) -> Path:
        return self.folder / "work"

    def _command(self, command: str, expected: list[str]) -> None:
        text, service = re.subn(r"&\s*(?:#.*)?$", "", command)
        if service:
            printed = self._serve(text)
        else:
            shell = ["bash", "-c", self._kept(text)]
            done = subprocess.run(shell, env=self._variables, timeout=COMMAND_S, capture_output=True, check=False)
            printed = (done.stdout + done.stderr).decode()
            assert done.returncode == 0, f"$ {command}\n{printed}\nexit code {done.returncode}"
        lacks = missing(printed, expected)
        assert lacks is None, f"$ {command}\n{printed}\nexpected a line like: {lacks}"

    def _serve(self, command: str) -> str:
        log = self.folder / f"service-{len(self.services)}.log"
        with open(log, "wb") as out:
            shell, err = ["bash", "-c", self._kept(command)], subprocess.STDOUT
            service = subprocess.Popen(shell, env=self._variables, stdout=out, stderr=err, start_new_session=True)
        self.services.append(service)
        end_s = time.monotonic() + START_S
        while "listening on " not in log.read_text():
            assert self.services[-1].poll() is None, log.read_text()
            assert time.monotonic() < end_s, f"{command}: not listening\n{log.read_text()}"
            time.sleep(0.05)
        return log.read_text()

    def _kept(self, command: str) -> str:
        """Variables and the working folder pass from one command to the next."""
        kept = self.folder / "kept"
        start = f"test ! -e {kept} || . {kept}; cd {self._work}; "
        return f"{start}{command}\ncode=$?; export -p | grep ' PI_' > {kept}; exit $code"

    def _placed(self, text: str) -> str:
        return _PLACE.sub(lambda found: f"127.0.0.1:{self._port(found[1])}", text)

    def _port(self, named: str) -> int:
        if named not in self.ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.ports[named] = free.getsockname()[1]
        return self.ports[named]

    @property
    def _variables(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PI_")}
        home, path = str(self.folder), f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        folders = {"HOME": home, "XDG_DATA_HOME": f"{home}/data", "XDG_CACHE_HOME": f"{home}/cache"}
        return kept | folders | {"PATH": path, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


def runnable(document: str) -> Iterator[Block]:
    """Blocks that are not marked."""
    return (block for block in blocks(document) if block.reason is None)
