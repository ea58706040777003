"""What benchmarks have in common beside the measuring: options, tables for people, JSON, text within documents."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
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


def link_option(*default: str) -> Decorator:
    """Over which links; several times."""
    text = "loopback, lan, wan or MBIT_S,RTT_MS. Repeatable."
    return click.option("--link", "links", multiple=True, default=default, show_default=True, help=text)


def unique(*chosen: Sequence[str]) -> tuple[str, ...]:
    """The first that is not empty, each of its names once."""
    return tuple(dict.fromkeys(next(filter(None, chosen), ())))


def say(line: str) -> None:
    """Progress, on stderr."""
    click.echo(line, err=True)


def show(title: str, rows: Iterable[Mapping[str, Any]], columns: str) -> None:
    """Print a table: of each row the columns FIELD, HEAD=FIELD or HEAD=FIELD.FIELD:FORMAT, with | between."""
    out, fields = Table(title=title, title_justify="left"), []
    for column in columns.split("|"):
        head, _, field = column.partition("=")
        path, _, form = (field or head).partition(":")
        out.add_column(head, justify="right" if form else "left", no_wrap=True)
        fields.append((path.split("."), form))
    for row in rows:
        values = [(reduce(lambda found, name: found[name], path, row), form) for path, form in fields]
        out.add_row(*("" if value is None else format(value, form) for value, form in values))
    Console(width=max(Console().width, 180)).print(out)


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
