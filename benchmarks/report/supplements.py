"""Measurements beside the questions: latency of whole networks, the link shaper, TLS, communicators, SPU."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from report.sources import Sources, Stored
from report.tables import Provenance, Table, provenance
from report.wording import number

Content = Mapping[str, Any]
_ENDS: Final = " --host ADDRESS --server-prefix ... --client-prefix ..."


class Supplement(NamedTuple):
    """One measurement: heading, a sentence on how to read it, a table, and where it is from."""

    key: str
    title: str
    text: str
    tables: tuple[Table, ...]
    provenances: tuple[Provenance, ...]


def supplements(sources: Sources) -> tuple[Supplement, ...]:
    """Those that have files, in the order of ``_KINDS``."""
    found = []
    for key, (title, text, table, command) in _KINDS.items():
        if files := _newest(key, sources.stored.get(key, ())):
            origins = [
                provenance(f.file, command(f.content), f.content["environment"], _samples(f.content)) for f in files
            ]
            found.append(Supplement(key, title, text, tuple(table(f.content) for f in files), tuple(origins)))
    return tuple(found)


def _newest(key: str, files: tuple[Stored, ...]) -> tuple[Stored, ...]:
    """All files; of link checks the last for each link, as earlier ones checked earlier shapers."""
    if key != "link_check":
        return files
    ordered = sorted(files, key=lambda stored: str(stored.content["environment"]["date"]))
    return tuple({stored.content["link"]: stored for stored in ordered}.values())


def _samples(content: Content) -> Any:
    return content.get("results") or content.get("rows") or content["online_ms"]


def _table(caption: str, head: str, rows: Iterable[tuple[float | str | None, ...]]) -> Table:
    """Numbers get three digits, None is left empty."""
    text = [
        tuple(cell if isinstance(cell, str) else "" if cell is None else number(cell) for cell in row) for row in rows
    ]
    return Table(caption=caption, head=tuple(head.split("|")), rows=tuple(text))


def _latency(content: Content) -> Table:
    named = ", ".join(f"{network['network']} has {network['relus']:,} ReLUs" for network in content["networks"])
    return _table(
        f"{named}; {content['repeat']} repetitions, medians and quartiles",
        "Network, backend, link|Online ms|Rounds|us a ReLU|Bytes a ReLU|Offline ms|Offline MB",
        (
            (
                f"{r['network']}, {r['backend']}, {r['link']}",
                "{} ({} to {})".format(*(number(r["online_ms"][name]) for name in ("median", "q1", "q3"))),
                str(r["online_rounds"]),
                *(r[name] for name in ("us_per_relu", "bytes_per_relu", "offline_ms")),
                r["offline_bytes"] / 1e6,
            )
            for r in content["results"]
        ),
    )


def _tls(content: Content) -> Table:
    return _table(
        f"{content['network']} over {content['link']}, {content['repeat']} repetitions in turn",
        "Backend, phase|Plaintext ms|TLS ms|TLS / plaintext",
        (
            (
                f"{row['backend']}, {phase}",
                *(row[f"{phase}_ms"][way]["median"] for way in ("plaintext", "tls")),
                row[f"{phase}_ratio"],
            )
            for row in content["rows"]
            for phase in ("online", "offline")
        ),
    )


def _communicators(content: Content) -> Table:
    return _table(
        f"{content['network']}, loopback; gRPC / gloo {number(content['ratio'])}",
        "Communicator|Online ms, median|Samples",
        ((name, ms["median"], str(len(ms["samples"]))) for name, ms in content["online_ms"].items()),
    )


def _link_check(content: Content) -> Table:
    return _table(
        f"{content['link']}: {content['rate_bits_s'] / 1e6:g} Mbit/s, {content['rtt_s'] * 1000:g} ms; "
        f"{content['repeat']} repetitions",
        "What|Emulated ms|Shaped ms|Shaped / emulated",
        (
            (
                row["what"].replace("echo ", "echo, bytes: "),
                *(row[place]["median"] for place in ("emulated", "shaped")),
                row["ratio"],
            )
            for row in content["rows"]
        ),
    )


def _spu(content: Content) -> Table:
    return _table(
        f"Offline and online together, {content['repeat']} repetitions",
        "What, system, link|Seconds, median|MB|Largest error",
        (
            (
                f"{row['what']}, {row['system']}, {row['link']}",
                *(row["ms"]["median"] / 1000, row["total_bytes"] / 1e6, row["max_abs_error"]),
            )
            for row in content["rows"]
        ),
    )


def _command(script: str, fields: Mapping[str, str], tail: str = "") -> Callable[[Content], str]:
    """Makes the command of ``script``, the values of each option taken from FIELD or from every row's LIST.FIELD."""

    def command(content: Content) -> str:
        options = []
        for option, field in fields.items():
            rows, _, key = field.rpartition(".")
            found = [row[key] for row in content[rows]] if rows else [content[key]]
            options += [f"--{option} {value}" for value in dict.fromkeys(found)]
        return f"python benchmarks/{script}.py {' '.join(options)}{tail}"

    return command


def _communicators_command(content: Content) -> str:
    repeat = len(content["online_ms"]["grpc"]["samples"])
    return f"python benchmarks/communicators.py --network {content['network']} --repeat {repeat}"


def _spu_command(content: Content) -> str:
    what, systems = (dict.fromkeys(str(row[key]) for row in content["rows"]) for key in ("what", "system"))
    networks = [f"--network {name}" for name in what if not name.startswith("relu:")]
    relus = [re.sub("^relu:", "--relu ", name) for name in what if name.startswith("relu:")]
    theirs = [re.sub("^spu:", "--protocol ", name) for name in systems if "spu:" in name]
    ours = [f"--backend {name}" for name in systems if "spu:" not in name]
    options = [*networks, *relus, *theirs, *ours, *([] if networks else ["--relu-only"])]
    command = "python benchmarks/peers/compare_spu.py --spu-python FOLDER/bin/python"
    return f"{command} {' '.join(options)} --repeat {content['repeat']}"


_KINDS: Final[Mapping[str, tuple[str, str, Callable[[Content], Table], Callable[[Content], str]]]] = {
    "latency": (
        "Whole networks: online and offline",
        "Random weights, batch 1, material prepared ahead. Online time is taken at the client, from the first online "
        "byte to the decoded logits. Links are shaped inside the channel.",
        _latency,
        _command(
            "latency",
            {"network": "networks.network", "backend": "results.backend", "link": "results.link", "repeat": "repeat"},
        ),
    ),
    "peers_spu": (
        "Beside SecretFlow SPU",
        "Both systems in one run, on the same two pinned cores. Everything a protocol does is counted, offline too.",
        _spu,
        _spu_command,
    ),
    "tls_cost": (
        "What TLS costs",
        "Mutual TLS 1.3 beside plaintext in turn; ratios are medians of neighbours' ratios.",
        _tls,
        _command("tls_cost", {"network": "network", "backend": "rows.backend", "repeat": "repeat"}),
    ),
    "communicators": (
        "Our gRPC channel beside CrypTen's gloo",
        "CrypTen's protocols over either, in turn within one run.",
        _communicators,
        _communicators_command,
    ),
    "link_check": (
        "The shaped links beside emulated ones",
        "How far the shaper inside the channel is from a link that the kernel emulates. 1 is the same.",
        _link_check,
        _command("link_check", {"link": "link", "repeat": "repeat"}, _ENDS),
    ),
}
