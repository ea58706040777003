"""Backend ``crypten`` between two real processes, dealt to by a third; this file is also the parties' program."""

import json
import os
import queue
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

import pi_system
from pi_system.artifact.graph import (
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    Flatten,
    Graph,
    Input,
    Linear,
    MaxPool2d,
    Relu,
    Truncate,
)
from pi_system.channel.base import ChannelCounters
from pi_system.errors import PeerUnavailableError, PiError, RemoteProtocolError
from pi_system.protocols.half import Readable

ROOT = Path(pi_system.__file__).parents[1]


class SocketChannel:
    """Length-prefixed messages on a stream socket; a thread sends, so that both ends may send first."""

    def __init__(self, fileno: int) -> None:
        self.counters = ChannelCounters()
        self._socket = socket.socket(fileno=fileno)
        self._socket.settimeout(60)
        self._outbox: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self) -> None:
        while True:
            view = self._outbox.get()
            self._socket.sendall(struct.pack("<Q", view.nbytes))
            self._socket.sendall(view)

    def send(self, data: Readable) -> None:
        view = memoryview(data).cast("B")
        self.counters.on_send(view.nbytes)
        self._outbox.put(view)

    def recv_any(self) -> memoryview:
        (nbytes,) = struct.unpack("<Q", self._exactly(8))
        self.counters.on_receive(nbytes)
        return self._exactly(nbytes)

    def recv(self, nbytes: int) -> memoryview:
        message = self.recv_any()
        if message.nbytes != nbytes:
            raise RemoteProtocolError(f"expected {nbytes} bytes, found {message.nbytes}")
        return message

    def _exactly(self, nbytes: int) -> memoryview:
        buffer = memoryview(bytearray(nbytes))
        filled = 0
        while filled < nbytes:
            got = self._socket.recv_into(buffer[filled:])
            if not got:
                raise PeerUnavailableError("the peer closed")
            filled += got
        return buffer

    def close(self) -> None:
        """The socket lives as long as its process: several sessions run on it in turn."""


def every_op() -> Graph:
    """A network with every operation, a pixel mask and a channel mask; picture (2, 8, 8), 5 classes."""
    return Graph(
        nodes=(
            Input(name="x", inputs=(), shape=(2, 8, 8)),
            Conv2d(
                name="c1", inputs=("x",), shape=(4, 8, 8), in_channels=2, kernel=(3, 3), stride=(1, 1), padding=(1, 1),
            ),
            Relu(name="r1", inputs=("c1",), shape=(4, 8, 8), active=256),
            Conv2d(
                name="c2", inputs=("r1",), shape=(4, 8, 8), in_channels=4, kernel=(3, 1), stride=(1, 1),
                padding=(1, 0), groups=2,
            ),
            Relu(name="r2", inputs=("c2",), shape=(4, 8, 8), active=77, masked=True),
            Add(name="a1", inputs=("r2", "r1"), shape=(4, 8, 8)),
            MaxPool2d(name="m1", inputs=("a1",), shape=(4, 4, 4), kernel=(3, 3), stride=(2, 2), padding=(1, 1)),
            AvgPool2d(name="p1", inputs=("a1",), shape=(4, 4, 4), kernel=(3, 3), stride=(2, 2), padding=(1, 1)),
            Concat(name="k1", inputs=("m1", "p1"), shape=(8, 4, 4)),
            Truncate(name="t1", inputs=("k1",), shape=(8, 4, 4)),
            Conv2d(
                name="c3", inputs=("t1",), shape=(6, 2, 2), in_channels=8, kernel=(1, 1), stride=(2, 2), padding=(0, 0),
            ),
            Relu(name="r3", inputs=("c3",), shape=(6, 2, 2), active=8, masked=True),
            AvgPool2d(name="g1", inputs=("r3",), shape=(6, 1, 1), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
            Flatten(name="f1", inputs=("g1",), shape=(6,)),
            Linear(name="l1", inputs=("f1",), shape=(5,), in_features=6),
        )
    )  # fmt: skip


def inputs_of(graph: Graph, pictures: int) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Seeded weights, masks and pictures, the same in every process."""
    rng = np.random.default_rng(7)
    weights: dict[str, Any] = {}
    for node in graph:
        if isinstance(node, Conv2d):
            shape: tuple[int, ...] = (node.shape[0], node.in_channels // node.groups, *node.kernel)
        elif isinstance(node, Linear):
            shape = (node.shape[0], node.in_features)
        else:
            continue
        weights[f"{node.name}.weight"] = rng.normal(0, 0.5, shape).astype(np.float32)
        weights[f"{node.name}.bias"] = rng.normal(0, 0.5, shape[0]).astype(np.float32)
    masks = {}
    for relu in graph.relus():
        if relu.masked:
            flat = np.zeros(int(np.prod(relu.shape)), dtype=bool)
            flat[rng.permutation(flat.size)[: relu.active]] = True
            masks[relu.name] = flat.reshape(relu.shape)
    return weights, masks, rng.normal(0, 1, (pictures, *graph.input.shape)).astype(np.float32)


def plaintext(graph: Graph, weights: dict[str, Any], masks: dict[str, Any], pictures: Any) -> Any:
    """The graph in floating point, written out independently of the package's interpreters."""
    functional = torch.nn.functional
    values: dict[str, torch.Tensor] = {}
    for node in graph:
        x = [values[name] for name in node.inputs]
        match node:
            case Input():
                y = torch.from_numpy(pictures).double()
            case Conv2d():
                w, b = (torch.from_numpy(weights[f"{node.name}.{part}"]).double() for part in ("weight", "bias"))
                y = functional.conv2d(x[0], w, b, stride=node.stride, padding=node.padding, groups=node.groups)
            case Linear():
                w, b = (torch.from_numpy(weights[f"{node.name}.{part}"]).double() for part in ("weight", "bias"))
                y = functional.linear(x[0], w, b)
            case Relu():
                mask = torch.from_numpy(masks[node.name]) if node.masked else torch.tensor(True)
                y = torch.where(mask, x[0].clamp(min=0), x[0])
            case Add():
                y = x[0] + x[1]
            case Concat():
                y = torch.cat(x, dim=1)
            case Flatten():
                y = x[0].flatten(1)
            case MaxPool2d():
                y = functional.max_pool2d(x[0], node.kernel, node.stride, node.padding)
            case AvgPool2d():
                y = functional.avg_pool2d(x[0], node.kernel, node.stride, node.padding)
            case _:
                y = x[0]
        values[node.name] = y
    return values[graph.output].numpy()


# ---- the parties' program: python THIS_FILE ROLE PEER_FD DEALER_FD


def refuse_torch_randomness() -> None:
    """From here on a draw from any generator of torch ends the process."""

    def refused(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError("torch's generators were used")

    for name in ("rand", "randn", "randint", "randperm", "bernoulli", "normal"):
        setattr(torch, name, refused)


def run_party(role: str, peer: SocketChannel, dealer: SocketChannel) -> dict[str, Any]:
    """Two preparations, three pictures, then misuse; what happened as JSON."""
    from pi_system.backends.crypten.library import crypten
    from pi_system.backends.crypten.party import CryptenClient, CryptenServer

    graph = every_op()
    weights, masks, pictures = inputs_of(graph, 3)
    state = torch.random.get_rng_state()
    refuse_torch_randomness()
    report: dict[str, Any] = {}

    def link(request: bytes) -> SocketChannel:
        report["request"] = request.decode("ascii")
        dealer.send(request)
        return dealer

    def error_of(call: Any, *args: Any) -> str:
        try:
            call(*args)
        except PiError as error:
            return type(error).__name__
        return "none"

    for name, insecure in (("dealt", False), ("first_party", True)):
        party: Any
        if role == "server":
            party = CryptenServer(graph, weights, masks, insecure_provider=insecure)
        else:
            party = CryptenClient(graph, masks, insecure_provider=insecure)
        second = error_of(CryptenClient, graph, masks)
        party.prepare(2, peer, link)
        party.prepare(1, peer, link)
        offline = (peer.counters.sent_bytes, peer.counters.received_bytes, peer.counters.rounds)
        if role == "server":
            for ids in (("0",), ("1", "2")):
                party.reserve(ids)
                party.infer(ids, peer)
            reuse = error_of(party.reserve, ("1",))
            after = error_of(party.prepare, 1, peer, link)
            results: dict[str, Any] = {"reuse": reuse, "after_error": after}
        else:
            first = party.infer(pictures[:1], party.reserve(1), peer)
            both = party.infer(pictures[1:], party.reserve(2), peer)
            results = {
                "logits": np.concatenate([first, both]).tolist(),
                "exhausted": error_of(party.reserve, 1),
                "reuse": error_of(party.infer, pictures[:1], ("0",), peer),
            }
        online = (peer.counters.sent_bytes, peer.counters.received_bytes, peer.counters.rounds)
        results["second_runtime"] = second
        results["online"] = [now - before for now, before in zip(online, offline, strict=True)]
        party.close()
        report[name] = results
    report["rng_untouched"] = bool(torch.equal(state, torch.random.get_rng_state()))
    report["generators_empty"] = all(not streams for streams in crypten.generators.values())
    return report


def main(role: str, peer_fd: str, dealer_fd: str) -> None:
    torch.set_num_threads(1)
    report = run_party(role, SocketChannel(int(peer_fd)), SocketChannel(int(dealer_fd)))
    sys.stdout.write(json.dumps(report) + "\n")


# ---- the test's side


@dataclass
class Outcome:
    """What the two processes reported."""

    server: dict[str, Any]
    client: dict[str, Any]


def _serve_dealing(ends: list[SocketChannel], requests: list[bytes]) -> None:
    from pi_system.backends.crypten.dealer import deal

    for count in (2, 1):
        request, other = (bytes(end.recv_any()) for end in ends)
        requests += [request, other]
        deal(request, count, ends[0], ends[1])


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """One run of both processes, with the dealer in a thread of this one."""
    pairs = [socket.socketpair() for _ in range(3)]  # server-client, server-dealer, client-dealer
    fds = {"server": (pairs[0][0], pairs[1][0]), "client": (pairs[0][1], pairs[2][0])}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
    processes = {
        role: subprocess.Popen(
            [sys.executable, "-W", "error", __file__, role, *(str(end.fileno()) for end in ends)],
            pass_fds=[end.fileno() for end in ends],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for role, ends in fds.items()
    }
    for ends in fds.values():
        for end in ends:
            end.close()
    requests: list[bytes] = []
    dealer_ends = [SocketChannel(pair[1].detach()) for pair in pairs[1:]]
    threading.Thread(target=_serve_dealing, args=(dealer_ends, requests), daemon=True).start()
    reports = {}
    try:
        for role, process in processes.items():
            output, _ = process.communicate(timeout=200)
            assert process.returncode == 0, f"{role} failed"
            reports[role] = json.loads(output.splitlines()[-1])
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    assert len(set(requests)) == 1, "the parties sent different requests"
    return Outcome(**reports)


@pytest.mark.parametrize("provider", ["dealt", "first_party"])
def test_logits_match_plaintext(outcome: Outcome, provider: str) -> None:
    graph = every_op()
    weights, masks, pictures = inputs_of(graph, 3)
    expected = plaintext(graph, weights, masks, pictures)
    np.testing.assert_allclose(outcome.client[provider]["logits"], expected, atol=0.01)
    assert np.ptp(expected) > 0.5


def test_both_parties_found_the_same_plan(outcome: Outcome) -> None:
    assert outcome.server["request"] == outcome.client["request"]


def test_misuse_is_a_typed_error(outcome: Outcome) -> None:
    server, client = outcome.server["dealt"], outcome.client["dealt"]
    assert server["reuse"] == client["reuse"] == "CorrelationReusedError"
    assert client["exhausted"] == "CorrelationExhaustedError"
    assert server["after_error"] == "LocalProtocolError"
    assert server["second_runtime"] == client["second_runtime"] == "LocalProtocolError"


def test_no_generator_of_torch_was_used(outcome: Outcome) -> None:
    for report in (outcome.server, outcome.client):
        assert report["rng_untouched"]
        assert report["generators_empty"]


def test_rounds_and_bytes_are_those_of_the_protocols(outcome: Outcome) -> None:
    """Three pictures: 4 weighted layers, 3 ReLUs and 4 max-pool levels of 9 rounds, and the logits' one message."""
    # Online bytes each way: operands of products, 232 a ReLU position, 232 a comparison of the max-pool (8 of 9).
    products = [2 * 64 + 72, 256 + 4 * 2 * 3, 8 * 16 + 6 * 8, 6 + 30]
    # c1's weight is (4, 2, 3, 3), c2's (4, 2, 3, 1), c3's (6, 8, 1, 1), l1's (5, 6).
    relus = 256 + 77 + 8 + 8 * 4 * 16
    each_way = 3 * (8 * sum(products) + 232 * relus)
    sent, received, rounds = outcome.server["dealt"]["online"]
    assert (sent, received) == (each_way + 3 * 8 * 5, each_way)
    assert rounds == 3 * (4 + 9 * (3 + 4))
    assert outcome.client["dealt"]["online"][:2] == [received, sent]


if __name__ == "__main__":
    main(*sys.argv[1:])
