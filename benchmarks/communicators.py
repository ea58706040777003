"""What does our gRPC communicator cost beside CrypTen's own, torch.distributed with gloo?

Two pinned processes run one network under backend ``crypten`` over loopback. In one run they alternate between the
two communicators, with the same provider, material of the same dealing, and the same pictures; only what carries the
openings differs. Online time is taken at the client, from its first byte to the logits. The last line of stdout is
one JSON object with every sample and the ratio of the medians (goal: at most 1.3).

    python benchmarks/communicators.py --network resnet18:m=16 --repeat 7
"""

import os
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import click
from measuring.documents import default_cache, publish, repeat_option
from measuring.line_process import Message, run_parties
from measuring.machine import Measurement, measures
from measuring.networks import cached_artifact
from measuring.party_channel import connect, traffic
from measuring.processes import HERE, free_port
from measuring.reference import Reference

from pi_system.artifact.model import Artifact
from pi_system.artifact.store import load
from pi_system.cli.errors import PiCommand
from pi_system.export.random import random_pictures
from pi_system.program import relu_count

METHOD = "communicators"
WARMUP = 1
PICTURES_SEED = 11


def build(name: str) -> Artifact:
    """A network of random weights."""
    return load(cached_artifact(name, default_cache()))


class _Borrowed:
    """A channel whose owner closes it."""

    def __init__(self, channel: Any) -> None:
        self.counters, self.send, self.recv = channel.counters, channel.send, channel.recv

    def close(self) -> None:
        """Leave it open."""


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


def party(role: str, network: str, repeat: int, ports: tuple[int, int]) -> Message:
    """Run one party; the client returns samples, counters and the largest error against plaintext."""
    import torch

    from pi_system.backends.crypten.party import CryptenClient, CryptenServer

    torch.set_num_threads(1)
    artifact, serves = build(network), role == "server"
    graph = artifact.public.graph
    peer, disconnect = connect(role, f"127.0.0.1:{ports[0]}", METHOD)
    other = gloo(role, ports[1])
    runtime: Any = CryptenServer(graph, dict(artifact.weights), {}) if serves else CryptenClient(graph, {})
    ours = runtime.communicator
    rounds = [name for _ in range(WARMUP + repeat) for name in ("gloo", "grpc")]
    runtime.prepare(
        len(rounds), peer, lambda wish: deal_in_process(wish, len(rounds), peer) if serves else _Borrowed(peer)
    )
    channels, height, width = graph.input.shape
    pictures = random_pictures((channels, height, width), 1, PICTURES_SEED)
    reference = Reference(artifact, pictures)
    result: Message = {"samples": {"gloo": [], "grpc": []}, "max_abs_error": 0.0}
    for index, name in enumerate(rounds):
        runtime.communicator = ours if name == "grpc" else lambda channel: other
        ids = (str(index),) if serves else 1
        reserved = runtime.reserve(ids)
        peer.send(b"!")
        peer.recv(1)
        if serves:
            runtime.infer(ids, peer)
            continue
        before, start_s = traffic(peer), time.perf_counter()
        logits = runtime.infer(pictures, reserved, peer)
        if index >= 2 * WARMUP:
            result["samples"][name].append(1000 * (time.perf_counter() - start_s))
        if name == "grpc":
            result["counters"] = [now - then for now, then in zip(traffic(peer), before, strict=True)]
        result["max_abs_error"] = max(result["max_abs_error"], reference.error(0, logits).absolute)
    disconnect()
    return result


@click.command(cls=PiCommand)
@measures
@click.option("--network", default="resnet18:m=16", show_default=True, help="Specification, e.g. resnet18:m=16.")
@repeat_option(7)
def main(run: Measurement, network: str, repeat: int) -> None:
    """Compare both communicators on one network."""
    relus, ports = relu_count(build(network).public.graph), (free_port(), free_port())
    with tempfile.TemporaryDirectory(prefix="pi-gloo-") as folder:
        found = run_parties(party, HERE, Path(folder), network=network, repeat=repeat, ports=ports)
    medians = {name: median(samples) for name, samples in found["samples"].items()}
    sent, received, rounds = found["counters"]
    report = run.report(
        "communicators",
        network=network,
        relus=relus,
        online_ms={name: {"median": medians[name], "samples": found["samples"][name]} for name in medians},
        ratio=medians["grpc"] / medians["gloo"],
        online_rounds=rounds,
        online_bytes={"client_to_server": sent, "server_to_client": received},
        max_abs_error=found["max_abs_error"],
    )
    publish(report)


if __name__ == "__main__":
    main()
