"""Does the link shaper inside the channel behave like a link? Echoes and one inference over both.

Two network namespaces (or any two ends that a command prefix reaches) must be joined by an emulated link of the named
rate and delay, made by ``tc netem`` or another tool. Over that link nothing is shaped; beside it, over loopback, the
channel shapes. What is timed at the client: echo round trips of several sizes through our gRPC channel, and the online
phase of one network under backend fss. Warm-up: one of each, not counted. The last line of stdout is one JSON object;
``ratio`` is shaped / emulated (goal: 0.9 to 1.1).

The shaper imitates rate and delay, not TCP: slow start after a pause, and BBR's pacing of a flow that was not busy,
show as a ratio below 1, so the TCP settings of both places are in the result. An emulator that needs a core for itself
does, too, on a machine that has only the parties' two.

    python benchmarks/link_check.py --link lan --host 10.88.0.2 \
        --server-prefix "ip netns exec server" --client-prefix "ip netns exec client"
"""

import json
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import click
from measuring import RESULTS, documents
from measuring.environment import environment, load_average
from measuring.line_process import LineProcess
from measuring.networks import cached_artifact
from measuring.party_channel import connect
from measuring.processes import Place, free_port
from measuring.schema import Timing
from measuring.sessions import in_turn

from pi_system.channel.shaped import parse_link, shape
from pi_system.cli.errors import PiCommand
from pi_system.rpc.keys import write_keys

METHOD = "Echo"
SIZES = (8_000_000, 1_000_000, 128_000, 16_000, 1_000)
"""Large first: they open TCP's window, since the shaper does not imitate slow start."""
WARMUP = 1
Samples = dict[str, list[float]]


def echo(role: str, address: str, link: str, repeat: int, keys: Path) -> Samples:
    """One end of the echoes; the client's times in ms by size."""
    inner, end = connect(role, address, METHOD, keys)
    channel, samples = shape(inner, parse_link(link)), Samples()
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


def echo_times(place: Place, repeat: int, folder: Path) -> Samples:
    """Echo round trips in ms, by size in bytes."""
    options = ["--link", place.link, "--repeat", str(repeat), "--keys", str(place.keys)]
    options += ["--address", f"{place.hosts[0]}:{free_port()}"]
    with ExitStack() as stack:
        for role, prefix, core in zip(("server", "client"), place.prefixes, place.cores, strict=True):
            command = [*prefix, sys.executable, __file__, "--role", role, *options]
            log = folder / f"{place.name}-{role}.log"
            process = stack.enter_context(LineProcess(f"{place.name} {role}", command, log=log, core=core))
        return dict(process.answer())


def inference_times(places: tuple[Place, ...], name: str, repeat: int) -> dict[str, list[float]]:
    """Online ms of backend fss by place, the places taking turns."""
    calls = WARMUP + repeat
    path = cached_artifact(name, documents.default_cache())
    with in_turn([path], [("fss", place, "logits") for place in places], calls) as running:
        for index in range(calls):
            for one in running:
                documents.say(f"{one.place.name}: {one.call(index).cost.online_ms:.1f} ms")
        return {one.place.name: [cost.online_ms for cost in one.online[WARMUP:]] for one in running}


def tcp_settings(place: Place) -> dict[str, str]:
    """What may slow a real link down beyond its rate and delay, at the client's end."""
    names = ("tcp_congestion_control", "tcp_slow_start_after_idle")
    files = [f"/proc/sys/net/ipv4/{name}" for name in names]
    done = subprocess.run([*place.prefixes[1], "cat", *files], capture_output=True, text=True, timeout=30)
    return dict(zip(names, done.stdout.split(), strict=False))


def compare(places: tuple[Place, ...], samples: dict[str, Samples]) -> list[dict[str, Any]]:
    """One row a size, and the inference: both places' timings and the ratio of their medians."""
    emulated, shaped = (place.name for place in places)
    rows = []
    for what in samples[emulated]:
        timings = {name: Timing.of(samples[name][what]) for name in (emulated, shaped)}
        ratio = timings[shaped].median / timings[emulated].median
        rows.append({"what": what, **{name: t.model_dump() for name, t in timings.items()}, "ratio": ratio})
    return rows


def run(link: str, places: tuple[Place, ...], network: str, repeat: int, folder: Path) -> dict[str, Any]:
    """Measure everything and return the JSON object."""
    before, samples = load_average(), dict[str, Samples]()
    for place in places:
        documents.say(f"{place.name}: echoes")
        samples[place.name] = echo_times(place, repeat, folder)
    for name, online in inference_times(places, network, repeat).items():
        samples[name][f"fss {network}"] = online
    rows = compare(places, samples)
    columns = "what|emulated ms=emulated.median:.2f|shaped ms=shaped.median:.2f|ratio=ratio:.3f"
    documents.show(f"link {link}", rows, columns)
    return {
        "schema": 1,
        "question": "link_check",
        "link": link,
        **asdict(parse_link(link)),
        "repeat": repeat,
        "warmup": WARMUP,
        "tcp": {place.name: tcp_settings(place) for place in places},
        "rows": rows,
        "median_ratio": median(row["ratio"] for row in rows),
        "worst_deviation": max(abs(row["ratio"] - 1) for row in rows),
        "environment": environment(load_before=before).model_dump(mode="json"),
    }


@click.command(cls=PiCommand)
@click.option("--link", default="lan", show_default=True, help="lan, wan or MBIT_S,RTT_MS: what is emulated.")
@click.option("--host", default="127.0.0.1", help="The server's address on the emulated link.")
@click.option("--server-prefix", default="", help="Command in front of the server's side.")
@click.option("--client-prefix", default="", help="Command in front of the client's side.")
@click.option("--network", default="resnet18:m=16", show_default=True)
@documents.repeat_option(7)
@documents.json_out_option
@documents.keep_option
@click.option("--role", type=click.Choice(["server", "client"]), hidden=True)
@click.option("--address", default="", hidden=True)
@click.option("--keys", type=documents.PATH, hidden=True)
def main(link: str, repeat: int, **given: Any) -> None:
    """Compare the channel's shaper with an emulated link."""
    if given["role"]:
        click.echo(json.dumps(echo(given["role"], given["address"], link, repeat, given["keys"])))
        return
    server, client = (tuple(shlex.split(given[f"{role}_prefix"])) for role in ("server", "client"))
    if not server or not client:
        raise click.UsageError("expected --server-prefix and --client-prefix: the two ends of an emulated link")
    with tempfile.TemporaryDirectory(prefix="pi-link-") as name:
        folder, hosts = Path(name), (given["host"], given["host"])
        write_keys(folder / "keys")
        emulated = Place(name="emulated", hosts=hosts, prefixes=(server, client), keys=folder / "keys")
        shaped = Place(name="shaped", link=link, keys=folder / "keys")
        report = run(link, (emulated, shaped), given["network"], repeat, folder)
    about = report["environment"]
    control = report["tcp"]["emulated"].get("tcp_congestion_control", "tcp")
    stem = f"{about['date'][:10]}_{link.replace(',', '-')}_{control}_{about['git_sha']}"
    kept = RESULTS / "link_check" / f"{stem}.json" if given["keep"] else None
    documents.publish(report, given["json_out"], kept)


if __name__ == "__main__":
    main()
