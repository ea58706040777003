"""What does our gRPC communicator cost beside CrypTen's own, torch.distributed with gloo?

Two pinned processes run one network under backend ``crypten`` over loopback. In one run they alternate between the
two communicators, with the same provider, material of the same dealing, and the same pictures; only what carries the
openings differs. Online time is taken at the client, from its first byte to the logits. The last line of stdout is
one JSON object with every sample and the ratio of the medians (goal: at most 1.3).

    python benchmarks/communicators.py --network resnet18:m=16 --repeat 7
"""

import json
import os
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
from measuring.documents import default_cache, publish, repeat_option
from measuring.environment import environment, load_average
from measuring.line_process import LineProcess, answers
from measuring.networks import cached_artifact
from measuring.party_channel import connect
from measuring.processes import free_port, party_cores

from pi_system.artifact.graph import Graph
from pi_system.artifact.store import load
from pi_system.cli.errors import PiCommand

METHOD = "communicators"
WARMUP = 1
PICTURES_SEED = 11
Message = dict[str, Any]


def build(name: str) -> tuple[Graph, Message]:
    """Graph and random weights of a network."""
    artifact = load(cached_artifact(name, default_cache()))
    return artifact.public.graph, dict(artifact.weights)


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
    graph, weights = build(network)
    peer, disconnect = connect(role, f"127.0.0.1:{ports[0]}", METHOD)
    other, serves = gloo(role, ports[1]), role == "server"
    runtime: Any = CryptenServer(graph, weights, {}) if serves else CryptenClient(graph, {})
    ours = runtime.communicator
    rounds = [name for _ in range(WARMUP + repeat) for name in ("gloo", "grpc")]
    runtime.prepare(
        len(rounds), peer, lambda wish: deal_in_process(wish, len(rounds), peer) if serves else _Borrowed(peer)
    )
    pictures = np.random.default_rng(PICTURES_SEED).normal(0, 1, (1, *graph.input.shape)).astype(np.float32)
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
        before, start_s = _traffic(peer), time.perf_counter()
        logits = runtime.infer(pictures, reserved, peer)
        if index >= 2 * WARMUP:
            result["samples"][name].append(1000 * (time.perf_counter() - start_s))
        if name == "grpc":
            result["counters"] = [now - then for now, then in zip(_traffic(peer), before, strict=True)]
        result["max_abs_error"] = max(result["max_abs_error"], _error(graph, weights, pictures, logits))
    disconnect()
    return result


def _traffic(channel: Any) -> tuple[int, int, int]:
    return channel.counters.sent_bytes, channel.counters.received_bytes, channel.counters.rounds


def _error(graph: Graph, weights: Message, pictures: Any, logits: Any) -> float:
    import torch

    from pi_system.program.float_point import FloatInterpreter

    with torch.no_grad():
        expected = FloatInterpreter({}, weights).run(graph, torch.from_numpy(pictures))
    return float(np.abs(expected.numpy() - logits).max())


def run_pair(network: str, repeat: int) -> Message:
    """Start both parties and return the client's result. Raises PeerUnavailableError: whichever failed first."""
    options = ["--network", network, "--repeat", str(repeat), "--ports", str(free_port()), str(free_port())]
    with tempfile.TemporaryDirectory(prefix="pi-gloo-") as folder, ExitStack() as stack:
        parties = []
        for role, core in party_cores().items():
            command, log = [sys.executable, __file__, "--role", role, *options], Path(folder) / f"{role}.log"
            parties.append(stack.enter_context(LineProcess(role, command, log=log, core=core)))
        return answers(parties, None)[1]


def report(network: str, result: Message, about: Message) -> Message:
    """The JSON object this benchmark prints."""
    medians = {name: median(samples) for name, samples in result["samples"].items()}
    sent, received, rounds = result["counters"]
    return {
        "schema": 1,
        "question": "communicators",
        "network": network,
        "relus": sum(node.active for node in build(network)[0].relus()),
        "online_ms": {name: {"median": medians[name], "samples": result["samples"][name]} for name in medians},
        "ratio": medians["grpc"] / medians["gloo"],
        "online_rounds": rounds,
        "online_bytes": {"client_to_server": sent, "server_to_client": received},
        "max_abs_error": result["max_abs_error"],
        "environment": about,
    }


@click.command(cls=PiCommand)
@click.option("--network", default="resnet18:m=16", show_default=True, help="Specification, e.g. resnet18:m=16.")
@repeat_option(7)
@click.option("--role", type=click.Choice(["server", "client"]), hidden=True)
@click.option("--ports", type=(int, int), hidden=True)
def main(network: str, repeat: int, role: str | None, ports: tuple[int, int]) -> None:
    """Compare both communicators on one network."""
    if role:
        print(json.dumps(party(role, network, repeat, ports)), flush=True)
        return
    before = load_average()
    result = run_pair(network, repeat)
    publish(report(network, result, environment(load_before=before).model_dump(mode="json")))


if __name__ == "__main__":
    main()
