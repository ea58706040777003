"""Does the link shaper inside the channel behave like a link? Echoes and one inference over both.

Two network namespaces (or any two ends that a command prefix reaches) must be joined by an emulated link of the named
rate and delay, made by ``tc netem`` or another tool. Over that link nothing is shaped; beside it, over loopback, the
channel shapes. What is timed at the client: echo round trips of several sizes through our gRPC channel, and the online
phase of one network under backend fss. Warm-up: one of each, not counted. The last line of stdout is one JSON object;
``ratio`` is shaped / emulated (goal: 0.9 to 1.1).

The shaper imitates rate and delay, not TCP: slow start after a pause, and BBR's pacing of a flow that was not busy,
show as a ratio below 1, so the TCP settings of both sites are in the result. An emulator that needs a core for itself
does, too, on a machine that has only the parties' two.

    python benchmarks/link_check.py --link lan --host 10.88.0.2 \
        --server-prefix "ip netns exec server" --client-prefix "ip netns exec client"
"""

import subprocess
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import click
from measuring import documents
from measuring.line_process import Message, run_parties
from measuring.machine import Measurement, measures
from measuring.networks import cached_artifact
from measuring.party_channel import connect
from measuring.processes import Site, emulated, free_port
from measuring.schema import Timing
from measuring.sessions import WARMUP, call_in_turn

from pi_system.channel.shaped import parse_link, shape
from pi_system.cli.errors import PiCommand
from pi_system.rpc.keys import write_keys

METHOD = "Echo"
SIZES = (8_000_000, 1_000_000, 128_000, 16_000, 1_000)
"""Large first: they open TCP's window, since the shaper does not imitate slow start."""


def echo(role: str, address: str, link: str, repeat: int, keys: str) -> Message:
    """One end of the echoes; the client's times in ms by size in bytes."""
    inner, end = connect(role, address, METHOD, Path(keys))
    channel, samples = shape(inner, parse_link(link)), Message()
    for size in SIZES:
        payload = bytes(size)
        for index in range(WARMUP + repeat):
            if role == "server":
                channel.send(channel.recv(size))
                continue
            start_s = time.perf_counter()
            channel.send(payload)
            channel.recv(size)
            if index >= WARMUP:
                samples.setdefault(f"echo {size}", []).append(1000 * (time.perf_counter() - start_s))
    if role == "client":
        channel.send(b"\0")
    else:
        channel.recv(1)  # the client has everything; a server that stops earlier may reset the connection
    end()
    return samples


def tcp_settings(site: Site) -> dict[str, str]:
    """What may slow a real link down beyond its rate and delay, at the client's end."""
    names = ("tcp_congestion_control", "tcp_slow_start_after_idle")
    files = [f"/proc/sys/net/ipv4/{name}" for name in names]
    done = subprocess.run([*site.prefixes[1], "cat", *files], capture_output=True, text=True, timeout=30)
    return dict(zip(names, done.stdout.split(), strict=False))


def measure(sites: tuple[Site, ...], network: str, repeat: int, folder: Path) -> list[dict[str, Any]]:
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


@click.command(cls=PiCommand)
@measures
@click.option("--link", default="lan", show_default=True, help="lan, wan or MBIT_S,RTT_MS: what is emulated.")
@click.option("--host", default="127.0.0.1", help="The server's address on the emulated link.")
@click.option("--server-prefix", default="", help="Command in front of the server's side.")
@click.option("--client-prefix", default="", help="Command in front of the client's side.")
@click.option("--network", default="resnet18:m=16", show_default=True)
@documents.repeat_option(7)
@documents.json_out_option
@documents.keep_option
def main(run: Measurement, link: str, repeat: int, json_out: Path | None, keep: bool, **given: str) -> None:
    """Compare the channel's shaper with an emulated link."""
    with tempfile.TemporaryDirectory(prefix="pi-link-") as name:
        folder, keys, prefixes = Path(name), Path(name) / "keys", (given["server_prefix"], given["client_prefix"])
        ends = emulated("emulated", prefixes, (given["host"], given["host"]), keys)
        write_keys(keys)
        sites = (ends, Site(name="shaped", link=link, keys=keys))
        rows = measure(sites, given["network"], repeat, folder)
    columns = "what|emulated ms=emulated.median:.2f|shaped ms=shaped.median:.2f|ratio=ratio:.3f"
    documents.show(f"link {link}", rows, columns)
    tcp, speed = {site.name: tcp_settings(site) for site in sites}, asdict(parse_link(link))
    worst = max(abs(row["ratio"] - 1) for row in rows)
    figures = {"median_ratio": median(row["ratio"] for row in rows), "worst_deviation": worst}
    report = run.report("link_check", link=link, **speed, repeat=repeat, warmup=WARMUP, tcp=tcp, rows=rows, **figures)
    control = tcp["emulated"].get("tcp_congestion_control", "tcp")
    documents.publish(report, json_out, keep=keep and f"link_check/{{date}}_{link.replace(',', '-')}_{control}_{{sha}}")


if __name__ == "__main__":
    main()
