"""Measurements beside the questions (supplements.toml): whole networks, the link shaper, TLS, communicators, SPU."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from measuring.documents import filled
from measuring.schema import Strict
from pydantic import Field
from report.sources import ResultFile, Sources
from report.tables import Provenance, Table, provenance

Content = Mapping[str, Any]


class Kind(Strict):
    """Files of one folder, as supplements.toml says."""

    title: str
    text: str
    caption: str
    columns: tuple[str, ...]
    command: str
    options: dict[str, str] = Field(default_factory=dict)
    rows: str = "rows"


class Supplement(NamedTuple):
    """One measurement: heading, a sentence on how to read it, tables, and where they are from."""

    key: str
    title: str
    text: str
    tables: tuple[Table, ...]
    provenances: tuple[Provenance, ...]


def supplements(sources: Sources) -> tuple[Supplement, ...]:
    """Those that have files, in the order of supplements.toml."""
    found = []
    for key, fields in tomllib.loads(Path(__file__).with_suffix(".toml").read_text()).items():
        if files := _newest(key, sources.stored.get(key, ())):
            kind = Kind(**fields)
            tables, origins = zip(*(_table_of(key, kind, stored) for stored in files), strict=True)
            found.append(Supplement(key, kind.title, kind.text, tables, origins))
    return tuple(found)


def _newest(key: str, files: tuple[ResultFile, ...]) -> tuple[ResultFile, ...]:
    """All files; of link checks the last for each link, as earlier ones checked earlier shapers."""
    if key != "link_check":
        return files
    ordered = sorted(files, key=lambda stored: str(stored.content["environment"]["date"]))
    return tuple({stored.content["link"]: stored for stored in ordered}.values())


def _table_of(key: str, kind: Kind, stored: ResultFile) -> tuple[Table, Provenance]:
    content = stored.content
    networks = ", ".join(filled("{network} has {relus:,} ReLUs", entry) for entry in content.get("networks", ()))
    caption = filled(kind.caption, {**content, "named": networks})
    wanted = {name: _at(content, place) for name, place in kind.options.items()}
    wanted |= _OPTIONS[key](content) if key in _OPTIONS else {}
    options = [f"--{name} {value}".rstrip() for name, values in wanted.items() for value in dict.fromkeys(values)]
    command = f"python benchmarks/{kind.command.format(' '.join(options))}"
    samples = content.get("results") or content.get("rows") or content["online_ms"]
    origin = provenance(stored.file, command, content["environment"], samples)
    rows = _ROWS[key](content) if key in _ROWS else content[kind.rows]
    return Table.of(caption, rows, "|".join(kind.columns)), origin


def _at(content: Content, place: str) -> list[Any]:
    """The values at a place such as ``rows.*.backend``."""
    found: list[Any] = [content]
    for key in place.split("."):
        found = [each for value in found for each in value] if key == "*" else [value[key] for value in found]
    return found


def _spu_options(content: Content) -> dict[str, list[Any]]:
    what, systems = (dict.fromkeys(map(str, _at(content, f"rows.*.{key}"))) for key in ("what", "system"))
    networks = [name for name in what if not name.startswith("relu:")]
    return {
        "network": networks,
        "relu": [name.removeprefix("relu:") for name in what if name.startswith("relu:")],
        "protocol": [name.removeprefix("spu:") for name in systems if "spu:" in name],
        "backend": [name for name in systems if "spu:" not in name],
        "relu-only": [] if networks else [""],
        "repeat": [content["repeat"]],
    }


_OPTIONS: Final[Mapping[str, Callable[[Content], dict[str, list[Any]]]]] = {
    "peers_spu": _spu_options,
    "communicators": lambda content: {"repeat": [len(content["online_ms"]["grpc"]["samples"])]},
}
"""Options that stand at no place of the file."""
_ROWS: Final[Mapping[str, Callable[[Content], Iterable[Mapping[str, Any]]]]] = {
    "tls_cost": lambda content: [
        {"backend": row["backend"], "phase": phase, "ms": row[f"{phase}_ms"], "ratio": row[f"{phase}_ratio"]}
        for row in content["rows"]
        for phase in ("online", "offline")
    ],
    "communicators": lambda content: [
        {"name": name, "median": ms["median"], "count": len(ms["samples"])} for name, ms in content["online_ms"].items()
    ],
    "link_check": lambda content: [
        row | {"what": row["what"].replace("echo ", "echo, bytes: ")} for row in content["rows"]
    ],
}
"""Rows that are not as the file has them."""
