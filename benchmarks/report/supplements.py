"""Measurements beside the questions: latency of whole networks, the link shaper, TLS, communicators, SPU."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from measuring.documents import filled
from report.sources import ResultFile, Sources
from report.tables import Provenance, Table, provenance

Content = Mapping[str, Any]


class Kind(NamedTuple):
    """Files of one folder: heading, a sentence on how to read them, and, filled by documents.py, caption and columns.

    ``rows`` are those of the table; ``command`` makes such a file, its options from ``options``.
    """

    title: str
    text: str
    caption: str
    columns: str
    command: str
    options: Callable[[Content], Mapping[str, Iterable[Any]]]
    rows: Callable[[Content], Iterable[Mapping[str, Any]]] = lambda content: content["rows"]


class Supplement(NamedTuple):
    """One measurement: heading, a sentence on how to read it, tables, and where they are from."""

    key: str
    title: str
    text: str
    tables: tuple[Table, ...]
    provenances: tuple[Provenance, ...]


def supplements(sources: Sources) -> tuple[Supplement, ...]:
    """Those that have files, in the order of ``_KINDS``."""
    found = []
    for key, kind in _KINDS.items():
        if files := _newest(key, sources.stored.get(key, ())):
            tables, origins = zip(*(_table_of(kind, stored) for stored in files), strict=True)
            found.append(Supplement(key, kind.title, kind.text, tables, origins))
    return tuple(found)


def _newest(key: str, files: tuple[ResultFile, ...]) -> tuple[ResultFile, ...]:
    """All files; of link checks the last for each link, as earlier ones checked earlier shapers."""
    if key != "link_check":
        return files
    ordered = sorted(files, key=lambda stored: str(stored.content["environment"]["date"]))
    return tuple({stored.content["link"]: stored for stored in ordered}.values())


def _table_of(kind: Kind, stored: ResultFile) -> tuple[Table, Provenance]:
    content = stored.content
    networks = ", ".join(filled("{network} has {relus:,} ReLUs", entry) for entry in content.get("networks", ()))
    caption = filled(kind.caption, {**content, "named": networks})
    options = [
        f"--{name} {value}".rstrip()
        for name, values in kind.options(content).items()
        for value in dict.fromkeys(values)
    ]
    command = f"python benchmarks/{kind.command.format(' '.join(options))}"
    samples = content.get("results") or content.get("rows") or content["online_ms"]
    origin = provenance(stored.file, command, content["environment"], samples)
    return Table.of(caption, kind.rows(content), kind.columns), origin


def _spu_options(content: Content) -> dict[str, list[str]]:
    what, systems = (list(dict.fromkeys(str(row[key]) for row in content["rows"])) for key in ("what", "system"))
    networks = [name for name in what if not name.startswith("relu:")]
    return {
        "network": networks,
        "relu": [name.removeprefix("relu:") for name in what if name.startswith("relu:")],
        "protocol": [name.removeprefix("spu:") for name in systems if "spu:" in name],
        "backend": [name for name in systems if "spu:" not in name],
        "relu-only": [] if networks else [""],
        "repeat": [str(content["repeat"])],
    }


def _each(content: Content, field: str, key: str) -> list[str]:
    return [row[key] for row in content[field]]


_KINDS: Final = {
    "latency": Kind(
        "Whole networks: online and offline",
        "Random weights, batch 1, material prepared ahead. Online time is taken at the client, from the first online "
        "byte to the decoded logits. Links are shaped inside the channel.",
        "{named}; {repeat} repetitions, medians and quartiles",
        "Network, backend, link={network}, {backend}, {link}|"
        "Online ms={online_ms.median:n} ({online_ms.q1:n} to {online_ms.q3:n})|Rounds=online_rounds|"
        "us a ReLU=us_per_relu:n|Bytes a ReLU=bytes_per_relu:n|Offline ms=offline_ms:n|Offline MB=offline_bytes:/1e6",
        "latency.py {}",
        lambda content: {
            "network": _each(content, "networks", "network"),
            "backend": _each(content, "results", "backend"),
            "link": _each(content, "results", "link"),
            "repeat": [content["repeat"]],
        },
        lambda content: content["results"],
    ),
    "peers_spu": Kind(
        "Beside SecretFlow SPU",
        "Both systems in one run, on the same two pinned cores. Everything a protocol does is counted, offline too.",
        "Offline and online together, {repeat} repetitions",
        "What, system, link={what}, {system}, {link}|Seconds, median=ms.median:/1000|MB=total_bytes:/1e6|"
        "Largest error=max_abs_error:n",
        "peers/compare_spu.py --spu-python FOLDER/bin/python {}",
        _spu_options,
    ),
    "tls_cost": Kind(
        "What TLS costs",
        "Mutual TLS 1.3 beside plaintext in turn; ratios are medians of neighbours' ratios.",
        "{network} over {link}, {repeat} repetitions in turn",
        "Backend, phase={backend}, {phase}|Plaintext ms=ms.plaintext.median:n|TLS ms=ms.tls.median:n|"
        "TLS / plaintext=ratio:n",
        "channel.py tls {}",
        lambda content: {
            "network": [content["network"]],
            "backend": _each(content, "rows", "backend"),
            "repeat": [content["repeat"]],
        },
        lambda content: [
            {"backend": row["backend"], "phase": phase, "ms": row[f"{phase}_ms"], "ratio": row[f"{phase}_ratio"]}
            for row in content["rows"]
            for phase in ("online", "offline")
        ],
    ),
    "communicators": Kind(
        "Our gRPC channel beside CrypTen's gloo",
        "CrypTen's protocols over either, in turn within one run.",
        "{network}, loopback; gRPC / gloo {ratio:n}",
        "Communicator=name|Online ms, median=median:n|Samples=count",
        "channel.py communicators {}",
        lambda content: {"network": [content["network"]], "repeat": [len(content["online_ms"]["grpc"]["samples"])]},
        lambda content: [
            {"name": name, "median": ms["median"], "count": len(ms["samples"])}
            for name, ms in content["online_ms"].items()
        ],
    ),
    "link_check": Kind(
        "The shaped links beside emulated ones",
        "How far the shaper inside the channel is from a link that the kernel emulates. 1 is the same.",
        "{link}: {rate_bits_s:/1e6,g} Mbit/s, {rtt_s:/1e-3,g} ms; {repeat} repetitions",
        "What=what|Emulated ms=emulated.median:n|Shaped ms=shaped.median:n|Shaped / emulated=ratio:n",
        "channel.py link {} --server-host ADDRESS --server-prefix ... --client-prefix ...",
        lambda content: {"link": [content["link"]], "repeat": [content["repeat"]]},
        lambda content: [row | {"what": row["what"].replace("echo ", "echo, bytes: ")} for row in content["rows"]],
    ),
}
