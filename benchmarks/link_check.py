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
import queue
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click
import numpy as np
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

from pi_system.artifact.store import load
from pi_system.channel.shaped import parse_link, shape
from pi_system.cli.errors import PiCommand
from pi_system.export.random import random_pictures
from pi_system.measure import (
    ClientTask,
    MeasuredClient,
    Timing,
    environment,
    party_cores,
    pinned,
    start_dealer,
    start_server,
)
from pi_system.measure.environment import load_average
from pi_system.measure.processes import child_environment, end_group
from pi_system.measure.random_artifacts import SEED, cached_artifact
from pi_system.rpc.channel import GrpcChannel
from pi_system.rpc.frames import FrameStream
from pi_system.rpc.keys import write_keys
from pi_system.rpc.listen import serve_streams
from pi_system.rpc.tls import Identity
from pi_system.rpc.transport import dial

RESULTS = Path(__file__).resolve().parent / "results" / "link_check"
METHOD = "Echo"
SIZES = (8_000_000, 1_000_000, 128_000, 16_000, 1_000)
"""Large first: they open TCP's window, since the shaper does not imitate slow start."""
WARMUP = 1
TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the two parties run and what carries their bytes.

    ``link`` is what the channel imitates; ``keys``, of ``write_keys``, are used in both places, since the runtime
    leaves a machine only with TLS.
    """

    name: str
    host: str
    server_prefix: tuple[str, ...]
    client_prefix: tuple[str, ...]
    link: str
    keys: Path


# ---- echo: both ends are this file, --role


def echo_server(host: str, link: str, repeat: int, keys: Path) -> None:
    """Serve one echo session; prints its address."""
    streams: queue.Queue[FrameStream] = queue.Queue()
    identity = Identity.load(keys / "server")
    take: Callable[[FrameStream], None] = streams.put
    listener, port = serve_streams(
        f"{host}:0", {METHOD: take}, {}, timeout_s=TIMEOUT_S, max_streams=1, identity=identity
    )
    print(f"{host}:{port}", flush=True)
    stream = streams.get(timeout=TIMEOUT_S)
    channel = shape(GrpcChannel(stream), parse_link(link))
    for size in SIZES:
        for _ in range(WARMUP + repeat):
            channel.send(channel.recv(size))
    channel.recv(1)  # the client has everything; a server that stops earlier may reset the connection
    stream.close()
    listener.stop(2.0).wait()


def echo_client(address: str, link: str, repeat: int, keys: Path) -> None:
    """Time echoes; prints them as JSON, ms by size."""
    identity = Identity.load(keys / "client")
    connection = dial(address, METHOD, connect_timeout_s=30.0, timeout_s=TIMEOUT_S, peer="echo", identity=identity)
    channel = shape(GrpcChannel(connection.stream), parse_link(link))
    samples: dict[str, list[float]] = {}
    for size in SIZES:
        payload = bytes(size)
        for index in range(WARMUP + repeat):
            start_s = time.perf_counter()
            channel.send(payload)
            channel.recv(size)
            if index >= WARMUP:
                samples.setdefault(str(size), []).append(1000 * (time.perf_counter() - start_s))
    channel.send(b"\0")
    connection.close()
    print(json.dumps(samples), flush=True)


@contextmanager
def _role(role: str, prefix: tuple[str, ...], core: int, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    with pinned(core):
        process = subprocess.Popen(
            [*prefix, sys.executable, __file__, "--role", role, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env=child_environment(1),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_group(process)


def echo_times(place: Place, repeat: int) -> dict[str, list[float]]:
    """Echo round trips in ms, by size in bytes."""
    cores, options = party_cores(), ("--link", place.link, "--repeat", str(repeat), "--keys", str(place.keys))
    with _role("echo-server", place.server_prefix, cores["server"], "--host", place.host, *options) as server:
        address = server.stdout.readline().strip() if server.stdout else ""
        with _role("echo-client", place.client_prefix, cores["client"], "--address", address, *options) as client:
            line = client.stdout.readline() if client.stdout else ""
    if not line:
        raise click.ClickException(f"{place.name}: expected the echo client's times, found that it failed")
    found: dict[str, list[float]] = json.loads(line)
    return found


# ---- inference


def inference_times(places: tuple[Place, ...], network: str, repeat: int) -> dict[str, list[float]]:
    """Online ms of backend fss by place, the places taking turns."""
    path = cached_artifact(network, user_cache_path("pi-system") / "artifacts")
    preprocess = load(path).public.preprocess
    pictures = random_pictures((preprocess.channels, preprocess.height, preprocess.width), 1, SEED)
    samples: dict[str, list[float]] = {place.name: [] for place in places}
    with tempfile.TemporaryDirectory(prefix="pi-link-") as folder, ExitStack() as stack:
        np.save(Path(folder) / "pictures.npy", pictures)
        clients = [stack.enter_context(_session(place, path, Path(folder))) for place in places]
        for index in range(WARMUP + repeat):
            for place, client in zip(places, clients, strict=True):
                client.prepare(1)
                online_ms = client.infer(0, 1).cost.online_ms
                click.echo(f"{place.name}: {online_ms:.1f} ms", err=True)
                if index >= WARMUP:
                    samples[place.name].append(online_ms)
    return samples


@contextmanager
def _session(place: Place, artifact: Path, root: Path) -> Iterator[MeasuredClient]:
    folder, cores = root / place.name, party_cores()
    with ExitStack() as stack:
        dealer = stack.enter_context(start_dealer(folder, host=place.host, keys=place.keys, prefix=place.server_prefix))
        server = stack.enter_context(
            start_server(
                artifact,
                dealer.address,
                folder,
                backends=("fss",),
                max_sessions=1,
                timeout_s=TIMEOUT_S,
                host=place.host,
                keys=place.keys,
                core=cores["server"],
                threads=1,
                prefix=place.server_prefix,
            )
        )
        task = ClientTask(
            server=server.address,
            dealer=dealer.address,
            backend="fss",
            link=place.link,
            store=folder / "client-store",
            pictures=root / "pictures.npy",
            timeout_s=TIMEOUT_S,
            keys=place.keys,
        )
        log = folder / "client.log"
        yield stack.enter_context(
            MeasuredClient(task, log=log, core=cores["client"], threads=1, prefix=place.client_prefix)
        )


# ---- report


def tcp_settings(place: Place) -> dict[str, str]:
    """What may slow a real link down beyond its rate and delay, at the client's end."""
    names = ("tcp_congestion_control", "tcp_slow_start_after_idle")
    files = [f"/proc/sys/net/ipv4/{name}" for name in names]
    done = subprocess.run([*place.client_prefix, "cat", *files], capture_output=True, text=True, timeout=30)
    return dict(zip(names, done.stdout.split(), strict=False))


def compare(places: tuple[Place, ...], samples: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """One row a size, and the inference: both places' timings and the ratio of their medians."""
    emulated, shaped = places
    rows = []
    for what in samples[emulated.name]:
        timings = {place.name: Timing.of(samples[place.name][what]) for place in places}
        ratio = timings[shaped.name].median / timings[emulated.name].median
        rows.append({"what": what, **{name: t.model_dump() for name, t in timings.items()}, "ratio": ratio})
    return rows


def show(link: str, rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    table = Table("what", "emulated ms", "shaped ms", "ratio", title=f"link {link}")
    for row in rows:
        values = (row["emulated"]["median"], row["shaped"]["median"])
        table.add_row(row["what"], *(f"{value:.2f}" for value in values), f"{row['ratio']:.3f}")
    Console().print(table)


def run(link: str, places: tuple[Place, ...], network: str, repeat: int) -> dict[str, Any]:
    """Measure everything and return the JSON object."""
    before = load_average()
    samples: dict[str, dict[str, list[float]]] = {}
    for place in places:
        click.echo(f"{place.name}: echoes", err=True)
        samples[place.name] = {f"echo {size}": ms for size, ms in echo_times(place, repeat).items()}
    for name, online in inference_times(places, network, repeat).items():
        samples[name][f"fss {network}"] = online
    rows = compare(places, samples)
    show(link, rows)
    shaped = asdict(parse_link(link))
    where = environment(pinned_cores=party_cores(), threads=1, load_before=before).model_dump()
    worst = max((abs(row["ratio"] - 1) for row in rows), default=0.0)
    median = statistics.median(row["ratio"] for row in rows)
    return {
        "schema": 1,
        "question": "link_check",
        "link": link,
        **shaped,
        "repeat": repeat,
        "warmup": WARMUP,
        "tcp": {place.name: tcp_settings(place) for place in places},
        "rows": rows,
        "median_ratio": median,
        "worst_deviation": worst,
        "environment": where,
    }


@click.command(cls=PiCommand)
@click.option("--link", default="lan", show_default=True, help="lan, wan or MBIT_S,RTT_MS: what is emulated.")
@click.option("--host", default="127.0.0.1", help="The server's address on the emulated link.")
@click.option("--server-prefix", default="", help="Command in front of the server's side.")
@click.option("--client-prefix", default="", help="Command in front of the client's side.")
@click.option("--network", default="resnet18:m=16", show_default=True)
@click.option("--repeat", default=7, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json-out", type=click.Path(path_type=Path), help="Write the JSON object to this file, too.")
@click.option("--keep", is_flag=True, help="Write it to benchmarks/results/link_check, too.")
@click.option("--role", type=click.Choice(["echo-server", "echo-client"]), hidden=True)
@click.option("--address", hidden=True)
@click.option("--keys", type=click.Path(path_type=Path), hidden=True)
def main(
    link: str,
    host: str,
    server_prefix: str,
    client_prefix: str,
    network: str,
    repeat: int,
    json_out: Path | None,
    keep: bool,
    role: str | None,
    address: str | None,
    keys: Path | None,
) -> None:
    """Compare the channel's shaper with an emulated link."""
    if role == "echo-server" and keys:
        return echo_server(host, link, repeat, keys)
    if role == "echo-client" and address and keys:
        return echo_client(address, link, repeat, keys)
    if not server_prefix or not client_prefix:
        raise click.UsageError("expected --server-prefix and --client-prefix: the two ends of an emulated link")
    with tempfile.TemporaryDirectory(prefix="pi-keys-") as folder:
        write_keys(Path(folder))
        prefixes = tuple(shlex.split(server_prefix)), tuple(shlex.split(client_prefix))
        emulated = Place("emulated", host, *prefixes, "loopback", Path(folder))
        report = run(link, (emulated, Place("shaped", "127.0.0.1", (), (), link, Path(folder))), network, repeat)
    about = report["environment"]
    control = report["tcp"]["emulated"].get("tcp_congestion_control", "tcp")
    stem = f"{about['date'][:10]}_{link.replace(',', '-')}_{control}_{about['git_sha']}"
    kept = RESULTS / f"{stem}.json" if keep else None
    for path in filter(None, (json_out, kept)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
