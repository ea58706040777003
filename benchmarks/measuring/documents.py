"""What benchmarks have in common beside the measuring: options, tables for people, JSON, text within documents."""

import json
import math
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, reduce, wraps
from operator import getitem
from pathlib import Path
from typing import Any

import click
from measuring import RESULTS
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

from pi_system.errors import InputError

PATH = click.Path(path_type=Path)


def default_cache() -> Path:
    """The user's folder of random-weight artifacts."""
    return user_cache_path("pi-system") / "artifacts"


def once(path: Path, make: Any, *given: Any) -> dict[str, Any]:
    """What is in the JSON file ``path``, made by ``make`` of ``given`` where it is not there yet."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps(make(*given), indent=1))
        draft.rename(path)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def newest(folder: Path, fits: Callable[[dict[str, Any]], bool] = lambda report: True) -> dict[str, Any]:
    """Of the reports in ``folder`` that fit the one measured last, by its date. Raises InputError: there is none."""
    reports = [report for path in sorted(folder.glob("*.json")) if fits(report := json.loads(path.read_text()))]
    if not reports:
        raise InputError(f"{folder}: expected a report, found none")
    found: dict[str, Any] = max(reports, key=lambda report: str(report.get("environment", {}).get("date", "")))
    return found


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


def emulated_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Both ends of an emulated link; given to processes.emulated."""
    for end in ("client", "server"):
        prefix = click.option(f"--{end}-prefix", default="", help=f"Command in front of the {end}'s side.")
        host = click.option(f"--{end}-host", default="127.0.0.1", help=f"The {end}'s address on the emulated link.")
        command = host(prefix(command))
    return command


def unique(*chosen: Sequence[str]) -> tuple[str, ...]:
    """The first that is not empty, each of its names once."""
    return tuple(dict.fromkeys(next(filter(None, chosen), ())))


def say(line: str) -> None:
    """Progress, on stderr."""
    click.echo(line, err=True)


_SIGNIFICANT = 3


def number(value: float, places: int | None = None) -> str:
    """``value`` with thousands separators and three significant digits, all of them left of the point."""
    if not math.isfinite(value):
        return "no number"
    text = f"{value:,.{decimals(value) if places is None else places}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text


def decimals(value: float) -> int:
    """Digits behind the point so that there are three significant ones."""
    return 0 if value == 0 else max(0, _SIGNIFICANT - 1 - math.floor(math.log10(abs(value))))


class _Filler(string.Formatter):
    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        return reduce(getitem, field_name.split("."), kwargs), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is None:
            return ""
        if format_spec.startswith("/"):
            size, _, format_spec = format_spec[1:].partition(",")
            value, format_spec = value / float(size), format_spec or "n"
        return number(value) if format_spec == "n" else format(value, format_spec)


def filled(template: str, row: Mapping[str, Any]) -> str:
    """``template`` with {FIELD.FIELD:FORMAT} of ``row``; None is empty, FORMAT n is ``number``, /SIZE divides first."""
    return _Filler().vformat(template, (), row)


def tabulate(rows: Iterable[Mapping[str, Any]], columns: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Head and rows of a table; columns are FIELD, HEAD=FIELD:FORMAT or HEAD=TEMPLATE, with | between."""
    heads, _, templates = zip(*(column.partition("=") for column in columns.split("|")), strict=True)
    wanted = [template or head for head, template in zip(heads, templates, strict=True)]
    filling = [template if "{" in template else f"{{{template}}}" for template in wanted]
    return heads, tuple(tuple(filled(template, row) for template in filling) for row in rows)


def markdown(rows: Iterable[Mapping[str, Any]], columns: str) -> str:
    """The table of ``tabulate`` in Markdown."""
    head, body = tabulate(rows, columns)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, *body)).replace("\n", f"\n|{'---|' * len(head)}\n", 1)


def show(title: str, rows: Iterable[Mapping[str, Any]], columns: str) -> None:
    """Print the table of ``tabulate``; columns with a format are to the right."""
    out, (head, body) = Table(title=title, title_justify="left"), tabulate(rows, columns)
    for name, column in zip(head, columns.split("|"), strict=True):
        out.add_column(name, justify="right" if ":" in column else "left", no_wrap=True)
    for line in body:
        out.add_row(*line)
    Console(width=max(Console().width, 180)).print(out)


Publish = Callable[[Mapping[str, Any], str], None]
"""``publish`` as a command's options say."""


def publish(report: Mapping[str, Any], name: str, json_out: Path | None = None, *, keep: bool = False) -> None:
    """Print the JSON object as the last line of stdout, and write it to ``json_out``, and to results/``name``.json.

    {date}, {machine}, {cores} and {sha} in ``name`` are those of the report's environment; ``keep``: write the latter.
    """
    about = report["environment"]
    model = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", about["cpu"].lower())).strip("-")
    stem = {"date": about["date"][:10], "machine": model, "cores": about["cores"], "sha": about["git_sha"]}
    for path in filter(None, (json_out, RESULTS / f"{name.format_map(stem)}.json" if keep else None)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n")
        say(f"wrote {path}")
    click.echo(json.dumps(report))


def publishes(command: Callable[..., None]) -> Callable[..., None]:
    """A command's options --json-out and --keep; it is given ``publish``."""

    @click.option("--json-out", type=PATH, help="Write the JSON object to this file, too.")
    @click.option("--keep", is_flag=True, help="Write it to its folder of benchmarks/results, too.")
    @wraps(command)
    def published(*given: Any, json_out: Path | None, keep: bool, **options: Any) -> None:
        command(*given, publish=partial(publish, json_out=json_out, keep=keep), **options)

    return published


def between_marks(document: str, name: str, text: str) -> str:
    """``document`` with ``text`` in the place of what is between the marks of ``name``. Raises InputError: no marks."""
    begin, end = (f"<!-- {name}:{mark} -->" for mark in ("begin", "end"))
    before, first, rest = document.partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last:
        raise InputError(f"document: expected the lines {begin} and {end}")
    return f"{before}{begin}\n{text}\n{end}{after}"
