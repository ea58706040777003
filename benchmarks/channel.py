"""What does the way cost that carries the messages? Two ways take turns, so that their ratio holds whatever else runs.

    python benchmarks/channel.py rounds
    python benchmarks/channel.py tls --network resnet18:m=16 --backend fss --backend gmw --repeat 9
    python benchmarks/channel.py line --repeat 30
    python benchmarks/channel.py communicators --network resnet18:m=16 --repeat 7
    python benchmarks/channel.py link --link lan --host 10.88.0.2 \
        --server-prefix "ip netns exec server" --client-prefix "ip netns exec client"

rounds: a round trip of small messages in which both parties compute after they have sent, four ways in turn: our
channel as grpcio offers it, with a hand-over to another thread for every message; our channel as it is; TCP and TLS
sockets of the standard library, written and read by the calling thread. In microseconds, medians of blocks of 200.

tls: online and offline phases with mutual TLS and in plaintext over loopback, which has no bandwidth to wait for and so
shows TLS at its worst.

line: online phases of small networks over gRPC alone, and with the connection beside it that small ones take
(pi_system/rpc/line_ends.py); mutual TLS both.

communicators: our gRPC communicator beside CrypTen's own, torch.distributed with gloo, under backend ``crypten``
(measuring/ways.py); goal: a ratio of at most 1.3.

link: the shaper inside the channel beside a link that ``tc netem`` or another tool emulates between two network
namespaces (or any two ends that a command prefix reaches). Over that link nothing is shaped; beside it, over loopback,
the channel shapes. What is timed at the client: echo round trips of several sizes through our gRPC channel, and the
online phase of one network under backend fss; ``ratio`` is shaped / emulated (goal: 0.9 to 1.1). The shaper imitates
rate and delay, not TCP: slow start after a pause, and BBR's pacing of a flow that was not busy, show as a ratio below
1, so the TCP settings of both sites are in the result. An emulator that needs a core for itself does, too, on a machine
that has only the parties' two.

Each party is pinned to its own core with one thread; weights are random; one call of each warms up and is not counted.
The last line of stdout is one JSON object with every sample; progress is on stderr.
"""

import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import click
from measuring import documents
from measuring.documents import Publish
from measuring.line_process import Message, run_parties
from measuring.machine import Measurement, measures
from measuring.networks import artifact_of, cached_artifact
from measuring.processes import HERE, Site, emulated, free_port
from measuring.round_trips import WAYS, round_trips
from measuring.schema import Timing
from measuring.sessions import WARMUP, Session, call_in_turn
from measuring.statistics import ratio_interval
from measuring.ways import crypten_party, echo

from pi_system.artifact.store import load
from pi_system.backends.registry import BACKENDS
from pi_system.channel.link import parse_link
from pi_system.cli.errors import PiCommand, PiGroup
from pi_system.program import relu_count
from pi_system.rpc.keys import write_keys

PHASES = ("online", "offline")
SMALL = ("builtin:cifar10", "resnet18:m=4", "resnet18:m=4/compare=8")
network_option = click.option("--network", default="resnet18:m=16", show_default=True, help="Random weights.")


@click.group(cls=PiGroup)
def main() -> None:
    """Measure what carries the messages."""


@main.command(cls=PiCommand)
@measures
@click.option("--size", "sizes", multiple=True, type=click.IntRange(0, 1 << 20), default=(1000, 16000), help="Bytes.")
@click.option("--work", "works", multiple=True, type=float, default=(0.0, 200.0), help="Microseconds after a send.")
@documents.repeat_option(9)
@documents.publishes
def rounds(run: Measurement, sizes: tuple[int, ...], works: tuple[float, ...], repeat: int, publish: Publish) -> None:
    """Measure a round trip of small messages."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="pi-rounds-") as folder:
        write_keys(Path(folder))
        for size, work in ((size, work) for size in sizes for work in works):
            ports = [free_port() for _ in WAYS]
            task = {"host": "127.0.0.1", "ports": ports, "keys": folder, "size": size, "work_us": work}
            found = run_parties(round_trips, HERE, Path(folder), repeat=repeat, **task)
            timings = {way: Timing.of(found[way]).model_dump() for way in WAYS}
            rows.append({"bytes": size, "work_us": work, **timings})
    columns = "bytes=bytes:,d|work us=work_us:.0f|" + "|".join(f"{way} us={way}.median:.0f" for way in WAYS)
    documents.show("a round trip, mutual TLS but for the socket", rows, columns)
    report = run.report("round_trips", link="loopback", repeat=repeat, rows=rows)
    publish(report, "round_trips/{date}_{machine}-{cores}-cores_{sha}")


@main.command(cls=PiCommand)
@measures
@network_option
@documents.backend_option(BACKENDS, ("fss", "gmw"))
@documents.repeat_option(9)
@documents.publishes
def tls(run: Measurement, network: str, backends: tuple[str, ...], repeat: int, publish: Publish) -> None:
    """Measure what TLS costs: both ways' samples in the order they were taken, and payload bytes."""
    path = cached_artifact(network, documents.default_cache())
    with tempfile.TemporaryDirectory(prefix="pi-tls-") as keys:
        write_keys(Path(keys))
        sites = (Site(name="plaintext"), Site(name="tls", keys=Path(keys)))
        pairs = [call_in_turn(path, [(backend, site, "logits") for site in sites], repeat) for backend in backends]
    rows = [_tls_row(*pair) for pair in pairs]
    columns = "backend"
    for phase in PHASES:
        times = "|".join(f"{phase}, {way} ms={phase}_ms.{way}.median:.1f" for way in ("plaintext", "tls"))
        columns += f"|{times}|ratio={phase}_ratio:.3f|bytes={phase}_bytes:,d"
    documents.show(network, rows, columns)
    report = run.report("tls_cost", network=network, link="loopback", repeat=repeat, warmup=WARMUP, rows=rows)
    publish(report, "tls_cost/{date}_{machine}-{cores}-cores_{sha}")


def _tls_row(plaintext: Session, tls: Session) -> dict[str, Any]:
    """A ratio is the median of the neighbours' ratios, TLS / plaintext."""
    row: dict[str, Any] = {"backend": tls.backend}
    for phase in PHASES:
        found = {one.site.name: getattr(one, f"{phase}_ms") for one in (plaintext, tls)}
        row[f"{phase}_ms"] = {way: Timing.of(samples).model_dump() for way, samples in found.items()}
        row[f"{phase}_ratio"] = ratio_interval(found["tls"], found["plaintext"]).value
    last = tls.online[-1]
    row["online_bytes"] = last.client_to_server_bytes + last.server_to_client_bytes
    return row | {"offline_bytes": tls.offline[-1].offline_bytes}


@main.command(cls=PiCommand)
@measures
@click.option("--network", "networks", multiple=True, default=SMALL, show_default=True, help="Repeatable.")
@documents.backend_option(BACKENDS, ("gmw", "fss"))
@documents.link_option("loopback", "lan")
@documents.repeat_option(30)
@documents.publishes
def line(
    run: Measurement,
    networks: tuple[str, ...],
    backends: tuple[str, ...],
    links: tuple[str, ...],
    repeat: int,
    publish: Publish,
) -> None:
    """Measure what a connection beside gRPC saves small online phases; both ways take turns, mutual TLS."""
    rows, cache = list[dict[str, Any]](), documents.default_cache()
    with tempfile.TemporaryDirectory(prefix="pi-line-") as keys:
        write_keys(Path(keys))
        for network in networks:
            path = artifact_of(network, cache)
            for backend, link in ((backend, link) for backend in backends for link in links):
                sites = [Site(name=way, link=link, keys=Path(keys), line=way == "line") for way in ("grpc", "line")]
                pair = call_in_turn(path, [(backend, site, "logits") for site in sites], repeat)
                rows.append({"network": network, "backend": backend, "link": link, **_line_row(*pair)})
    columns = "network|backend|link|gRPC ms=grpc_ms.median:.1f|line ms=line_ms.median:.1f|ratio={ratio.value:.2f}"
    columns += "|from={ratio.low:.2f}|to={ratio.high:.2f}"
    documents.show("online, over gRPC and over a line of its own", rows, columns)
    publish(run.report("line", repeat=repeat, warmup=WARMUP, rows=rows), "line/{date}_{machine}-{cores}-cores_{sha}")


def _line_row(grpc: Session, line: Session) -> dict[str, Any]:
    found = {f"{one.site.name}_ms": Timing.of(one.online_ms).model_dump() for one in (grpc, line)}
    return {**found, "ratio": ratio_interval(line.online_ms, grpc.online_ms)._asdict()}


@main.command(cls=PiCommand)
@measures
@network_option
@documents.repeat_option(7)
@documents.publishes
def communicators(run: Measurement, network: str, repeat: int, publish: Publish) -> None:
    """Compare our communicator with gloo."""
    path = cached_artifact(network, documents.default_cache())
    task = {"network": str(path), "repeat": repeat, "ports": (free_port(), free_port())}
    with tempfile.TemporaryDirectory(prefix="pi-gloo-") as folder:
        found = run_parties(crypten_party, HERE, Path(folder), **task)
    medians = {name: median(samples) for name, samples in found["samples"].items()}
    sent, received, rounds = found["counters"]
    report = run.report(
        "communicators",
        network=network,
        relus=relu_count(load(path).public.graph),
        online_ms={name: {"median": medians[name], "samples": found["samples"][name]} for name in medians},
        ratio=medians["grpc"] / medians["gloo"],
        online_rounds=rounds,
        online_bytes={"client_to_server": sent, "server_to_client": received},
        max_abs_error=found["max_abs_error"],
    )
    publish(report, "communicators/{date}_{machine}-{cores}-cores_{sha}")


@main.command(cls=PiCommand)
@measures
@click.option("--link", default="lan", show_default=True, help="lan, wan or MBIT_S,RTT_MS: what is emulated.")
@documents.emulated_options
@network_option
@documents.repeat_option(7)
@documents.publishes
def link(run: Measurement, link: str, network: str, repeat: int, publish: Publish, **ends: str) -> None:
    """Compare the channel's shaper with an emulated link."""
    with tempfile.TemporaryDirectory(prefix="pi-link-") as name:
        folder, keys = Path(name), Path(name) / "keys"
        write_keys(keys)
        sites = (emulated("emulated", keys, ends), Site(name="shaped", link=link, keys=keys))
        rows = _link_rows(sites, network, repeat, folder)
    columns = "what|emulated ms=emulated.median:.2f|shaped ms=shaped.median:.2f|ratio=ratio:.3f"
    documents.show(f"link {link}", rows, columns)
    tcp, speed = {site.name: tcp_settings(site) for site in sites}, asdict(parse_link(link))
    worst = max(abs(row["ratio"] - 1) for row in rows)
    figures = {"median_ratio": median(row["ratio"] for row in rows), "worst_deviation": worst}
    report = run.report("link_check", link=link, **speed, repeat=repeat, warmup=WARMUP, tcp=tcp, rows=rows, **figures)
    control = tcp["emulated"].get("tcp_congestion_control", "tcp")
    publish(report, f"link_check/{{date}}_{link.replace(',', '-')}_{control}_{{sha}}")


def _link_rows(sites: tuple[Site, ...], network: str, repeat: int, folder: Path) -> list[dict[str, Any]]:
    """One row a size, and online times of backend fss: both sites' timings and the ratio of their medians."""
    found: dict[str, Message] = {}
    for site in sites:
        documents.say(f"{site.name}: echoes")
        task = {"address": f"{site.hosts[0]}:{free_port()}", "link": site.link, "keys": str(site.keys)}
        found[site.name] = run_parties(echo, site, folder, repeat=repeat, **task)
    path = cached_artifact(network, documents.default_cache())
    for one in call_in_turn(path, [("fss", site, "logits") for site in sites], repeat):
        found[one.site.name][f"fss {network}"] = one.online_ms
    rows = []
    for what in found["emulated"]:
        timings = {name: Timing.of(samples[what]) for name, samples in found.items()}
        ratio = timings["shaped"].median / timings["emulated"].median
        rows.append({"what": what, **{name: t.model_dump() for name, t in timings.items()}, "ratio": ratio})
    return rows


def tcp_settings(site: Site) -> dict[str, str]:
    """What may slow a real link down beyond its rate and delay, at the client's end."""
    names = ("tcp_congestion_control", "tcp_slow_start_after_idle")
    files = [f"/proc/sys/net/ipv4/{name}" for name in names]
    done = subprocess.run([*site.prefixes[1], "cat", *files], capture_output=True, text=True, timeout=30)
    return dict(zip(names, done.stdout.split(), strict=False))


if __name__ == "__main__":
    main()
