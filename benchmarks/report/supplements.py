"""Measurements beside the questions: latency of whole networks, the link shaper, TLS, communicators, SPU."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from report.sources import Sources, Stored
from report.tables import Provenance, Table, provenance
from report.wording import number

_MS_A_SECOND: Final = 1000.0
_MEGABYTE: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplement:
    """One measurement: heading, a sentence on how to read it, a table, and where it is from."""

    key: str
    title: str
    text: str
    tables: tuple[Table, ...]
    provenances: tuple[Provenance, ...]


def supplements(sources: Sources) -> tuple[Supplement, ...]:
    """Those that have files, in the order of ``_KINDS``."""
    return tuple(
        Supplement(
            key=key,
            title=title,
            text=text,
            tables=tuple(table(stored.content) for stored in files),
            provenances=tuple(
                provenance(
                    stored.file,
                    _command(key, stored.content),
                    stored.content["environment"],
                    _samples(stored.content),
                )
                for stored in files
            ),
        )
        for key, (title, text, table) in _KINDS.items()
        if (files := _newest(key, sources.stored.get(key, ())))
    )


def _newest(key: str, files: Sequence[Stored]) -> tuple[Stored, ...]:
    """All files; of link checks the last for each link, as earlier ones checked earlier shapers."""
    if key != "link_check":
        return tuple(files)
    links: dict[str, Stored] = {}
    for stored in sorted(files, key=lambda stored: stored.content["environment"]["date"]):
        links[stored.content["link"]] = stored
    return tuple(links.values())


def _samples(content: Mapping[str, Any]) -> Any:
    return content.get("results") or content.get("rows") or content["online_ms"]


def _latency(content: Mapping[str, Any]) -> Table:
    relus = {network["network"]: network["relus"] for network in content["networks"]}
    rows = []
    for result in content["results"]:
        ms = result["online_ms"]
        rows.append(
            (
                f"{result['network']}, {result['backend']}, {result['link']}",
                f"{number(ms['median'])} ({number(ms['q1'])} to {number(ms['q3'])})",
                str(result["online_rounds"]),
                "" if result["us_per_relu"] is None else number(result["us_per_relu"]),
                "" if result["bytes_per_relu"] is None else number(result["bytes_per_relu"]),
                number(result["offline_ms"]),
                number(result["offline_bytes"] / _MEGABYTE),
            )
        )
    named = ", ".join(f"{name} has {count:,} ReLUs" for name, count in relus.items())
    return Table(
        caption=f"{named}; {content['repeat']} repetitions, medians and quartiles",
        head=("Network, backend, link", "Online ms", "Rounds", "us a ReLU", "Bytes a ReLU", "Offline ms", "Offline MB"),
        rows=tuple(rows),
    )


def _tls(content: Mapping[str, Any]) -> Table:
    return Table(
        caption=f"{content['network']} over {content['link']}, {content['repeat']} repetitions in turn",
        head=("Backend, phase", "Plaintext ms", "TLS ms", "TLS / plaintext"),
        rows=tuple(
            (
                f"{row['backend']}, {phase}",
                number(row[f"{phase}_ms"]["plaintext"]["median"]),
                number(row[f"{phase}_ms"]["tls"]["median"]),
                number(row[f"{phase}_ratio"]),
            )
            for row in content["rows"]
            for phase in ("online", "offline")
        ),
    )


def _communicators(content: Mapping[str, Any]) -> Table:
    return Table(
        caption=f"{content['network']}, loopback; gRPC / gloo {number(content['ratio'])}",
        head=("Communicator", "Online ms, median", "Samples"),
        rows=tuple((name, number(ms["median"]), str(len(ms["samples"]))) for name, ms in content["online_ms"].items()),
    )


def _link_check(content: Mapping[str, Any]) -> Table:
    return Table(
        caption=f"{content['link']}: {content['rate_bits_s'] / 1e6:g} Mbit/s, "
        f"{content['rtt_s'] * _MS_A_SECOND:g} ms; {content['repeat']} repetitions",
        head=("What", "Emulated ms", "Shaped ms", "Shaped / emulated"),
        rows=tuple(
            (
                row["what"].replace("echo ", "echo, bytes: "),
                number(row["emulated"]["median"]),
                number(row["shaped"]["median"]),
                number(row["ratio"]),
            )
            for row in content["rows"]
        ),
    )


def _spu(content: Mapping[str, Any]) -> Table:
    return Table(
        caption=f"Offline and online together, {content['repeat']} repetitions",
        head=("What, system, link", "Seconds, median", "MB", "Largest error"),
        rows=tuple(
            (
                f"{row['what']}, {row['system']}, {row['link']}",
                number(row["ms"]["median"] / _MS_A_SECOND),
                number(row["total_bytes"] / _MEGABYTE),
                number(row["max_abs_error"]),
            )
            for row in content["rows"]
        ),
    )


_Kind = tuple[str, str, Callable[[Mapping[str, Any]], Table]]

_KINDS: Final[Mapping[str, _Kind]] = {
    "latency": (
        "Whole networks: online and offline",
        "Random weights, batch 1, material prepared ahead. Online time is taken at the client, from the first online "
        "byte to the decoded logits. Links are shaped inside the channel.",
        _latency,
    ),
    "peers_spu": (
        "Beside SecretFlow SPU",
        "Both systems in one run, on the same two pinned cores. Everything a protocol does is counted, offline too.",
        _spu,
    ),
    "tls_cost": (
        "What TLS costs",
        "Mutual TLS 1.3 beside plaintext in turn; ratios are medians of neighbours' ratios.",
        _tls,
    ),
    "communicators": (
        "Our gRPC channel beside CrypTen's gloo",
        "CrypTen's protocols over either, in turn within one run.",
        _communicators,
    ),
    "link_check": (
        "The shaped links beside emulated ones",
        "How far the shaper inside the channel is from a link that the kernel emulates. 1 is the same.",
        _link_check,
    ),
}


def _command(key: str, content: Mapping[str, Any]) -> str:
    """The command as the file's own fields give it."""
    if key == "latency":
        options = [
            *(f"--network {network['network']}" for network in content["networks"]),
            *(f"--{what} {name}" for what in ("backend", "link") for name in _each(content["results"], what)),
        ]
        return f"python benchmarks/latency.py {' '.join(options)} --repeat {content['repeat']}"
    if key == "tls_cost":
        backends = " ".join(f"--backend {name}" for name in _each(content["rows"], "backend"))
        return f"python benchmarks/tls_cost.py --network {content['network']} {backends} --repeat {content['repeat']}"
    if key == "communicators":
        repeat = len(content["online_ms"]["grpc"]["samples"])
        return f"python benchmarks/communicators.py --network {content['network']} --repeat {repeat}"
    if key == "link_check":
        return (
            f"python benchmarks/link_check.py --link {content['link']} --repeat {content['repeat']} --host ADDRESS "
            "--server-prefix ... --client-prefix ..."
        )
    return _spu_command(content)


def _spu_command(content: Mapping[str, Any]) -> str:
    what = _each(content["rows"], "what")
    relus = [name.removeprefix("relu:") for name in what if name.startswith("relu:")]
    networks = [f"--network {name}" for name in what if not name.startswith("relu:")]
    theirs = [re.sub("^spu:", "--protocol ", name) for name in _each(content["rows"], "system") if "spu:" in name]
    ours = [f"--backend {name}" for name in _each(content["rows"], "system") if "spu:" not in name]
    options = [*networks, *(f"--relu {count}" for count in relus), *theirs, *ours]
    only = [] if networks else ["--relu-only"]
    command = ["python benchmarks/peers/compare_spu.py --spu-python FOLDER/bin/python", *options, *only]
    return " ".join([*command, f"--repeat {content['repeat']}"])


def _each(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(str(row[key]) for row in rows))
