"""A client that asked for auto measures the link by probes, and tells the server what it chose. Clocks are moved."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scaled_artifact import relu_artifact
from streams import in_thread, served, stream_pair

from pi_system._proto.v1.control_pb2 import Choose, ClientEnvelope, Infer, Probe
from pi_system.backends.registry import AUTO
from pi_system.channel.base import ChannelCounters
from pi_system.channel.link import Link
from pi_system.cost.choice import Decision, choose
from pi_system.errors import ConfigError, PeerUnavailableError, RemoteProtocolError
from pi_system.rpc import choosing
from pi_system.rpc.channel import GrpcChannel
from pi_system.rpc.choosing import PROBES, Offer, measure_link, serve_choice
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.endpoint import Endpoint
from pi_system.rpc.envelope import read_server, write
from pi_system.rpc.frames import DATA
from pi_system.rpc.server_session import SessionHost, serve_session
from pi_system.rpc.session_config import SESSION_METHOD, Hello, SessionConfig, hello_to_proto
from pi_system.rpc.transport import dial

ARTIFACT = relu_artifact(1.0)
OWN_S = choosing._OWN_S


class Line:
    """A channel over a link on a clock of its own; replies may be late."""

    def __init__(self, link: Link, late_s: tuple[float, ...] = ()) -> None:
        self.counters, self.link, self.now_s = ChannelCounters(), link, 0.0
        self._late = [*late_s]
        self.asked: list[int] = []

    def monotonic(self) -> float:
        return self.now_s

    def send(self, data: Any) -> None:
        pass

    def recv(self, nbytes: int) -> memoryview:
        if nbytes == 1:
            self.now_s += OWN_S + self.link.rtt_s + (self._late.pop(0) if self._late else 0.0)
        else:
            self.asked.append(nbytes)
            self.now_s += self.link.transfer_s(nbytes)
        return memoryview(bytes(nbytes))

    def close(self) -> None:
        pass


def measured(line: Line, monkeypatch: pytest.MonkeyPatch) -> Link:
    monkeypatch.setattr(choosing, "time", line)
    nothing: Any = None
    monkeypatch.setattr(choosing, "write", lambda *_: None)
    return measure_link(nothing, line)


@pytest.mark.parametrize("link", [Link(1e9, 0.3e-3), Link(100e6, 40e-3), Link(1e6, 0.2), Link(2e10, 0.0)])
def test_round_trip_and_rate_are_those_of_the_link(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(link)
    found = measured(line, monkeypatch)
    assert found.rtt_s == pytest.approx(link.rtt_s, abs=1e-9)
    assert found.rate_bits_s == pytest.approx(link.rate_bits_s)
    assert line.asked == list(PROBES[: len(line.asked)])
    assert (len(line.asked) == 2) == (link.rtt_s > 3e-3)  # of a slow one two say enough


def test_a_late_reply_is_not_taken_for_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """A party that has just started a session may be busy for longer than any round trip takes."""
    line = Line(Link(1e9, 0.3e-3), late_s=(0.1, 0.02))
    assert measured(line, monkeypatch).rtt_s == pytest.approx(0.3e-3)
    line = Line(Link(1e8, 40e-3), late_s=(0.1,))
    assert measured(line, monkeypatch).rtt_s == pytest.approx(40e-3)
    assert len(line.asked) == 3


def test_a_reply_sooner_than_ours_over_no_link_is_no_negative_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(Line(Link(1e9, -OWN_S / 2)), monkeypatch).rtt_s == 0.0


def asked(*messages: Any) -> Callable[[], str]:
    """What a server makes of a client's messages, each probe with its byte of data."""
    client, server = stream_pair()
    for message in messages:
        write(client, message)
        if message.WhichOneof("message") == "probe":
            client.write(bytes(1), DATA)
    return lambda: serve_choice(server, GrpcChannel(server))


def probe(nbytes: int) -> ClientEnvelope:
    return ClientEnvelope(probe=Probe(bytes=nbytes))


CHOICE = ClientEnvelope(choose=Choose(backend="gmw"))


@pytest.mark.parametrize("count", range(len(PROBES) + 1))
def test_a_server_takes_a_choice_after_any_number_of_probes(count: int) -> None:
    assert asked(*map(probe, PROBES[:count]), CHOICE)() == "gmw"


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([probe(0)], id="nothing"),
        pytest.param([probe(1 << 31)], id="more than there is"),
        pytest.param([probe(PROBES[1])], id="not in turn"),
        pytest.param([probe(PROBES[0]), probe(PROBES[0])], id="twice"),
        pytest.param([*map(probe, PROBES), probe(PROBES[-1])], id="too many"),
        pytest.param([ClientEnvelope(infer=Infer(ids=["x"]))], id="another command"),
    ],
)
def test_a_server_sends_no_more_than_the_probes(messages: list[ClientEnvelope]) -> None:
    with pytest.raises(RemoteProtocolError):
        asked(*messages)()


CONFIG = SessionConfig(backend=AUTO, artifact_digest="", client_id=bytes(16))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a server in this process that offers gmw and gc."""
    host = SessionHost(
        artifact=ARTIFACT, store_dir=tmp_path / "server", dealer=None, allowed=("gmw", "gc"), reveal="label"
    )
    take = in_thread(lambda stream: serve_session(stream, host))
    with served({SESSION_METHOD: take}, timeout_s=10.0) as address:
        yield address


@pytest.fixture
def session(server: str, tmp_path: Path) -> Any:
    """Opens sessions with it."""
    endpoint = Endpoint(server=server, dealer=None, store_dir=tmp_path / "client")
    return lambda **options: ClientSession(endpoint, CONFIG, **options)


def test_what_the_client_chose_is_what_both_run(session: Any) -> None:
    offers: list[Offer] = []

    def chooser(offer: Offer) -> Decision:
        offers.append(offer)
        return choose(offer.public, offer.measure(), offered=offer.offered, prepared={"gc": 1})

    with session(chooser=chooser) as opened:
        assert (opened.config.backend, opened.choice.backend, opened.available()) == ("gc", "gc", 0)
        opened.prepare(1)
        assert opened.available() == 1
    (offer,) = offers
    assert (offer.offered, offer.reveal) == (("gmw", "gc"), "label")
    assert offer.public.public.digest == ARTIFACT.public.digest


def test_what_measures_the_link_may_be_chosen_by(session: Any) -> None:
    links: list[Link] = []

    def chooser(offer: Offer) -> Decision:
        links.append(offer.measure())
        return choose(offer.public, links[0], offered=offer.offered)

    with session(chooser=chooser) as opened:
        times = {name: one.online_ms for name, one in opened.choice.times.items()}
        assert set(times) == {"gmw", "gc"}
        assert times[opened.config.backend] == min(times.values())
    assert links[0].rate_bits_s > 0


def test_auto_needs_who_chooses(session: Any) -> None:
    with pytest.raises(ConfigError, match="backend: expected a name, or who chooses one, found auto"):
        session()


def test_a_choice_may_be_made_without_a_probe(session: Any) -> None:
    with session(chooser=lambda _: Decision(backend="gc")) as opened:
        assert opened.config.backend == "gc"


@pytest.mark.parametrize("other", ["fss", "table", "crypten", AUTO, "none", ""])
def test_a_server_runs_nothing_that_it_does_not_offer(server: str, other: str) -> None:
    connection = dial(server, SESSION_METHOD, connect_timeout_s=10.0, timeout_s=10.0, peer="server")
    stream = connection.stream
    write(stream, ClientEnvelope(hello=hello_to_proto(Hello(config=CONFIG))))
    hello = read_server(stream, "hello").hello
    assert (hello.backend, list(hello.offered)) == ("", ["gmw", "gc"])
    stream.read_data(hello.public_model_bytes)
    write(stream, ClientEnvelope(choose=Choose(backend=other)))
    with pytest.raises(ConfigError, match=rf"allows for this model \(gmw, gc\), found '{other}'"):
        stream.read_control()
    connection.abort(PeerUnavailableError("the test is over"))
