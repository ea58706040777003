"""What benchmarks have in common beside the measuring: options, tables for people, JSON, text within documents."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

from pi_system.errors import InputError

PATH = click.Path(path_type=Path)
json_out_option = click.option("--json-out", type=PATH, help="Write the JSON object to this file, too.")
keep_option = click.option("--keep", is_flag=True, help="Write it to its folder of benchmarks/results, too.")
link_option = click.option(
    "--link", "links", multiple=True, default=("loopback",), help="loopback, lan, wan or MBIT_S,RTT_MS. Repeatable."
)


def default_cache() -> Path:
    """The user's folder of random-weight artifacts."""
    return user_cache_path("pi-system") / "artifacts"


cache_option = click.option("--cache", type=PATH, default=default_cache, help="Folder of random-weight artifacts.")


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def repeat_option(default: int) -> Decorator:
    """How often everything is measured."""
    kind = click.IntRange(1, 1000)
    return click.option("--repeat", default=default, show_default=True, type=kind, help="Calls counted.")


def backend_option(names: Iterable[str], default: Sequence[str] = ()) -> Decorator:
    """Which backends; several times."""
    kind, text = click.Choice(list(names)), "Repeatable." if default else "Repeatable; none: all."
    return click.option("--backend", "backends", multiple=True, default=default, type=kind, help=text)


def unique(*chosen: Sequence[str]) -> tuple[str, ...]:
    """The first that is not empty, each of its names once."""
    return tuple(dict.fromkeys(next(filter(None, chosen), ())))


def say(line: str) -> None:
    """Progress, on stderr."""
    click.echo(line, err=True)


def table(title: str, head: str, rows: Iterable[Sequence[object]], left: int = 1) -> Table:
    """``head``: columns with | between them, the first ``left`` of them aligned to the left."""
    out = Table(title=title, title_justify="left")
    for place, name in enumerate(head.split("|")):
        out.add_column(name, justify="left" if place < left else "right", no_wrap=True)
    for row in rows:
        out.add_row(*map(str, row))
    return out


def show(*tables: Table) -> None:
    """Print tables."""
    Console(width=max(Console().width, 150)).print(*tables)


def write_json(report: Any, *paths: Path | None) -> None:
    """Write a JSON object where it is wanted."""
    for path in filter(None, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n")
        say(f"wrote {path}")


def publish(report: Any, *paths: Path | None) -> None:
    """Write the JSON object where it is wanted, and as the last line of stdout."""
    write_json(report, *paths)
    click.echo(json.dumps(report))


def between_marks(document: str, begin: str, end: str, text: str) -> str:
    """``document`` with ``text`` between the marks in the place of what is there. Raises InputError without them."""
    before, first, rest = document.partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last:
        raise InputError(f"document: expected the lines {begin} and {end}")
    return f"{before}{begin}\n{text}\n{end}{after}"
