"""Backend ``crypten`` between two real processes, dealt to by a third."""

import queue
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from pi_system.artifact.graph import (
    Add,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Flatten,
    Gather,
    Graph,
    Input,
    Linear,
    MaxPool2d,
    Relu,
    Select,
    Square,
    Truncate,
)
from pi_system.artifact.shapes import weight_shapes
from pi_system.channel.base import ChannelCounters
from pi_system.errors import PeerUnavailableError, PiError, RemoteProtocolError
from pi_system.program.float_point import FloatInterpreter
from pi_system.protocols.half import Readable


class PipeChannel:
    """Messages on a pipe between processes; a thread sends, so that both ends may send first."""

    def __init__(self, pipe: Connection) -> None:
        self.counters = ChannelCounters()
        self._pipe, self._outbox = pipe, queue.SimpleQueue[memoryview]()
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self) -> None:
        while True:
            self._pipe.send_bytes(self._outbox.get())

    def send(self, data: Readable) -> None:
        view = memoryview(data).cast("B")
        self.counters.on_send(view.nbytes)
        self._outbox.put(view)

    def recv_any(self) -> memoryview:
        if not self._pipe.poll(60):
            raise PeerUnavailableError("the peer is silent")
        message = memoryview(self._pipe.recv_bytes())
        self.counters.on_receive(message.nbytes)
        return message

    def recv(self, nbytes: int) -> memoryview:
        message = self.recv_any()
        if message.nbytes != nbytes:
            raise RemoteProtocolError(f"expected {nbytes} bytes, found {message.nbytes}")
        return message

    def close(self) -> None:
        """The pipe lives as long as its process: several sessions run on it in turn."""


GATHERED = (tuple(range(0, 128, 16)), (4, 0, -1, 12), (3, 1, 1, 0))


def every_op() -> Graph:
    """A network with every operation, pixel masks and a channel mask; picture (2, 8, 8), 5 classes."""
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
            Affine(name="b1", inputs=("k1",), shape=(8, 4, 4), negated=True, biased=True),
            Gather(name="i1", inputs=("b1",), shape=(8, 4, 4), offsets=GATHERED),
            Truncate(name="t1", inputs=("i1",), shape=(8, 4, 4)),
            Square(name="s1", inputs=("t1",), shape=(8, 4, 4), halvings=2, active=33, biased=True),
            Select(name="s2", inputs=("s1",), shape=(8, 4, 4), active=100),
            Conv2d(
                name="c3", inputs=("s2",), shape=(6, 2, 2), in_channels=8, kernel=(1, 1), stride=(2, 2), padding=(0, 0),
            ),
            Relu(name="r3", inputs=("c3",), shape=(6, 2, 2), active=8, masked=True),
            AvgPool2d(
                name="g1", inputs=("r3",), shape=(6, 1, 1), kernel=(2, 2), stride=(2, 2), padding=(0, 0), summed=True,
            ),
            Flatten(name="f1", inputs=("g1",), shape=(6,)),
            Linear(name="l1", inputs=("f1",), shape=(5,), in_features=6),
        )
    )  # fmt: skip


def inputs_of(graph: Graph, pictures: int) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Seeded weights, masks and pictures, the same in every process."""
    rng = np.random.default_rng(7)
    weights = {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in weight_shapes(graph).items()}
    masks = {}
    for name, masked in graph.masked().items():
        flat = np.zeros(int(np.prod(masked.shape)), dtype=bool)
        flat[rng.permutation(flat.size)[: masked.active]] = True
        masks[name] = flat.reshape(masked.shape)
    return weights, masks, rng.normal(0, 1, (pictures, *graph.input.shape)).astype(np.float32)


def refuse_torch_randomness() -> None:
    """From here on a draw from any generator of torch ends the process."""

    def refused(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError("torch's generators were used")

    for name in ("rand", "randn", "randint", "randperm", "bernoulli", "normal"):
        setattr(torch, name, refused)


def run_party(role: str, to_peer: Connection, to_dealer: Connection) -> dict[str, Any]:
    """A process: two preparations, three pictures, then misuse; what happened."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    peer, dealer = PipeChannel(to_peer), PipeChannel(to_dealer)
    from pi_system.backends.crypten.library import crypten
    from pi_system.backends.crypten.party import CryptenClient, CryptenServer

    graph = every_op()
    weights, masks, pictures = inputs_of(graph, 3)
    state = torch.random.get_rng_state()
    refuse_torch_randomness()
    report: dict[str, Any] = {}

    def link(request: bytes) -> PipeChannel:
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
                "logits": np.concatenate([first, both]),
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


@dataclass
class Outcome:
    """What the two processes reported."""

    server: dict[str, Any]
    client: dict[str, Any]


def _serve_dealing(ends: list[PipeChannel], requests: list[bytes]) -> None:
    from pi_system.backends.crypten.dealer import deal

    for count in (2, 1):
        request, other = (bytes(end.recv_any()) for end in ends)
        requests += [request, other]
        deal(request, count, ends[0], ends[1])


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """One run of both processes, with the dealer in a thread of this one."""
    pipes = [Pipe() for _ in range(3)]  # server-client, server-dealer, client-dealer
    ends = {"server": (pipes[0][0], pipes[1][0]), "client": (pipes[0][1], pipes[2][0])}
    requests: list[bytes] = []
    dealer_ends = [PipeChannel(pipe[1]) for pipe in pipes[1:]]
    threading.Thread(target=_serve_dealing, args=(dealer_ends, requests), daemon=True).start()
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        running = {role: pool.submit(run_party, role, *of_role) for role, of_role in ends.items()}
        reports = {role: party.result(timeout=200) for role, party in running.items()}
    assert len(set(requests)) == 1, "the parties sent different requests"
    return Outcome(**reports)


@pytest.mark.parametrize("provider", ["dealt", "first_party"])
def test_logits_match_plaintext(outcome: Outcome, provider: str) -> None:
    graph = every_op()
    weights, masks, pictures = inputs_of(graph, 3)
    expected = FloatInterpreter(masks, weights).run(graph, torch.from_numpy(pictures)).numpy()
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
    """Three pictures: 4 weighted layers, a square, 3 ReLUs and 4 max-pool levels of 9 rounds, the logits' message."""
    # Online bytes each way: operands of products, 232 a ReLU position, 232 a comparison of the max-pool (8 of 9).
    products = [2 * 64 + 72, 256 + 4 * 2 * 3, 8 * 16 + 6 * 8, 6 + 30]
    # c1's weight is (4, 2, 3, 3), c2's (4, 2, 3, 1), c3's (6, 8, 1, 1), l1's (5, 6).
    relus = 256 + 77 + 8 + 8 * 4 * 16
    each_way = 3 * (8 * (sum(products) + 33) + 232 * relus)
    sent, received, rounds = outcome.server["dealt"]["online"]
    assert (sent, received) == (each_way + 3 * 8 * 5, each_way)
    assert rounds == 3 * (4 + 1 + 9 * (3 + 4))
    assert outcome.client["dealt"]["online"][:2] == [received, sent]
