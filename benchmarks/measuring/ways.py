"""One party of what benchmarks/channel.py compares, run by line_process.run_parties: echoes, and CrypTen's two ways."""

import os
import threading
import time
from pathlib import Path
from typing import Any

from measuring.line_process import Message
from measuring.party_channel import connect, traffic
from measuring.reference import Reference
from measuring.sessions import WARMUP

from pi_system.artifact.store import load
from pi_system.channel.link import parse_link
from pi_system.channel.shaped import shape
from pi_system.export.random import random_pictures

SIZES = (8_000_000, 1_000_000, 128_000, 16_000, 1_000)
"""Large first: they open TCP's window, since the shaper does not imitate slow start."""
PICTURES_SEED = 11


def echo(role: str, address: str, link: str, repeat: int, keys: str) -> Message:
    """One end of the echoes; the client's times in ms by size in bytes."""
    inner, end = connect(role, address, "Echo", Path(keys))
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


def crypten_party(role: str, network: str, repeat: int, ports: tuple[int, int]) -> Message:
    """One party of backend ``crypten`` on the artifact in ``network``, alternating between gloo and our communicator.

    Both have the same provider, material of the same dealing and the same pictures; only what carries the openings
    differs. The client returns samples (from its first byte to the logits), counters, and the largest error against
    plaintext.
    """
    import torch

    from pi_system.backends.crypten.party import CryptenClient, CryptenServer

    torch.set_num_threads(1)
    artifact, serves = load(Path(network)), role == "server"
    graph = artifact.public.graph
    peer, disconnect = connect(role, f"127.0.0.1:{ports[0]}", "communicators")
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
