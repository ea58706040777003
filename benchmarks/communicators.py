"""What does our gRPC communicator cost beside CrypTen's own, torch.distributed with gloo?

Two pinned processes run one network under backend ``crypten`` over loopback. In one run they alternate between the
two communicators, with the same provider, material of the same dealing, and the same pictures; only what carries the
openings differs. Online time is taken at the client, from its first byte to the logits. The last line of stdout is
one JSON object with every sample and the ratio of the medians (goal: at most 1.3).

    python benchmarks/communicators.py --network resnet18:m=16 --repeat 7
"""

import json
import os
import platform
import queue
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

METHOD = "communicators"
WARMUP = 1
PICTURES_SEED = 11


def build(name: str) -> tuple[Any, dict[str, Any]]:
    """Graph and random weights of a network specification."""
    from platformdirs import user_cache_path

    from pi_system.artifact.store import load
    from pi_system.measure.random_artifacts import cached_artifact

    artifact = load(cached_artifact(name, user_cache_path("pi-system") / "artifacts"))
    return artifact.public.graph, dict(artifact.weights)


# ---- one party: python communicators.py --role ROLE ...


class _Borrowed:
    """A channel whose owner closes it."""

    def __init__(self, channel: Any) -> None:
        self.counters, self.send, self.recv = channel.counters, channel.send, channel.recv

    def close(self) -> None:
        """Leave it open."""


def connect(role: str, port: int) -> tuple[Any, Any]:
    """Our gRPC channel to the other party, and what to call in the end."""
    from pi_system.rpc.channel import GrpcChannel
    from pi_system.rpc.listen import serve_streams
    from pi_system.rpc.transport import dial

    address = f"127.0.0.1:{port}"
    if role == "client":
        link = dial(address, METHOD, connect_timeout_s=60, timeout_s=300, peer="server")
        return GrpcChannel(link.stream), link.close
    streams: queue.Queue[Any] = queue.Queue()
    listener, _ = serve_streams(address, {METHOD: streams.put}, {}, timeout_s=300, max_streams=1)
    stream = streams.get(timeout=60)
    return GrpcChannel(stream), lambda: (stream.close(), listener.stop(1).wait())


def gloo(role: str, port: int) -> Any:
    """CrypTen's own communicator, with gloo over loopback."""
    from pi_system.backends.crypten.library import crypten

    os.environ |= {
        "DISTRIBUTED_BACKEND": "gloo",
        "GLOO_SOCKET_IFNAME": "lo",
        "RENDEZVOUS": f"tcp://127.0.0.1:{port}",
        "WORLD_SIZE": "2",
        "RANK": "0" if role == "server" else "1",
    }
    return crypten.communicator.DistributedCommunicator()


def deal_in_process(request: bytes, count: int, client: Any) -> Any:
    """The server's end of a dealing done in its own process; ``client`` carries the client's seed."""
    from pi_system.backends.crypten.dealer import deal
    from pi_system.channel.memory import memory_pair

    near, far = memory_pair(600)
    threading.Thread(target=deal, args=(request, count, far, client), daemon=True).start()
    return near


def party(role: str, network: str, repeat: int, ports: tuple[int, int]) -> dict[str, Any]:
    """Run one party; the client returns samples, counters and the largest error against plaintext."""
    import torch

    from pi_system.backends.crypten.party import CryptenClient, CryptenServer

    torch.set_num_threads(1)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0] if role == "server" or len(cores) == 1 else cores[1]})
    graph, weights = build(network)
    peer, disconnect = connect(role, ports[0])
    other = gloo(role, ports[1])
    runtime: Any = CryptenServer(graph, weights, {}) if role == "server" else CryptenClient(graph, {})
    ours = runtime.communicator
    rounds = [name for _ in range(WARMUP + repeat) for name in ("gloo", "grpc")]

    def link(request: bytes) -> Any:
        return deal_in_process(request, len(rounds), peer) if role == "server" else _Borrowed(peer)

    runtime.prepare(len(rounds), peer, link)
    pictures = np.random.default_rng(PICTURES_SEED).normal(0, 1, (1, *graph.input.shape)).astype(np.float32)
    result: dict[str, Any] = {"samples": {"gloo": [], "grpc": []}, "max_abs_error": 0.0}
    for index, name in enumerate(rounds):
        runtime.communicator = ours if name == "grpc" else lambda channel: other
        if role == "server":
            runtime.reserve((str(index),))
            peer.send(b"!")
            peer.recv(1)
            runtime.infer((str(index),), peer)
            continue
        ids = runtime.reserve(1)
        peer.send(b"!")
        peer.recv(1)
        before = (peer.counters.sent_bytes, peer.counters.received_bytes, peer.counters.rounds)
        start = time.perf_counter()
        logits = runtime.infer(pictures, ids, peer)
        elapsed_ms = 1000 * (time.perf_counter() - start)
        after = (peer.counters.sent_bytes, peer.counters.received_bytes, peer.counters.rounds)
        if index >= 2 * WARMUP:
            result["samples"][name].append(elapsed_ms)
        if name == "grpc":
            result["counters"] = [now - then for now, then in zip(after, before, strict=True)]
        result["max_abs_error"] = max(result["max_abs_error"], _error(graph, weights, pictures, logits))
    disconnect()
    return result


def _error(graph: Any, weights: dict[str, Any], pictures: Any, logits: Any) -> float:
    import torch

    from pi_system.program.float_point import FloatInterpreter

    with torch.no_grad():
        expected = FloatInterpreter({}, weights).run(graph, torch.from_numpy(pictures))
    return float(np.abs(expected.numpy() - logits).max())


# ---- the parent


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def run_pair(network: str, repeat: int) -> dict[str, Any]:
    """Start both parties and return the client's result."""
    ports = _free_ports()
    options = ["--network", network, "--repeat", str(repeat), "--ports", *map(str, ports)]
    server, client = (
        subprocess.Popen([sys.executable, __file__, "--role", role, *options], stdout=subprocess.PIPE, text=True)
        for role in ("server", "client")
    )
    try:
        while client.poll() is None and not server.poll():  # a dead server ends the wait
            time.sleep(0.2)
        output = "" if client.poll() is None else client.communicate()[0]
        server.wait(60)
    finally:
        for process in (server, client):
            process.kill()
            process.wait()
    if client.returncode or server.returncode:
        raise click.ClickException(f"expected both parties to end well, found {server.returncode, client.returncode}")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def report(network: str, result: dict[str, Any]) -> dict[str, Any]:
    """The JSON object this benchmark prints."""
    import torch

    graph, _ = build(network)
    medians = {name: statistics.median(samples) for name, samples in result["samples"].items()}
    sent, received, rounds = result["counters"]
    return {
        "schema": 1,
        "question": "communicators",
        "network": network,
        "relus": sum(node.active for node in graph.relus()),
        "online_ms": {name: {"median": medians[name], "samples": result["samples"][name]} for name in medians},
        "ratio": medians["grpc"] / medians["gloo"],
        "online_rounds": rounds,
        "online_bytes": {"client_to_server": sent, "server_to_client": received},
        "max_abs_error": result["max_abs_error"],
        "environment": {
            "cores": len(os.sched_getaffinity(0)),
            "machine": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    }


@click.command()
@click.option("--network", default="resnet18:m=16", show_default=True, help="Specification, e.g. resnet18:m=16.")
@click.option("--repeat", default=7, show_default=True, type=click.IntRange(1, 100), help="Samples of each.")
@click.option("--role", type=click.Choice(["server", "client"]), hidden=True)
@click.option("--ports", type=(int, int), hidden=True)
def main(network: str, repeat: int, role: str | None, ports: tuple[int, int]) -> None:
    """Compare both communicators on one network."""
    if role:
        print(json.dumps(party(role, network, repeat, ports)))
        return
    print(json.dumps(report(network, run_pair(network, repeat))))


if __name__ == "__main__":
    main()
