"""Every Python parser of a peer's or a file's bytes, as a function of bytes. Only a PiError may come out of one.

``TARGETS`` maps a name to the function and to seeds, valid inputs made by the code itself. run_python.py runs one under
atheris; tests/unit/fuzz runs all of them on seeds and small changes of them, without atheris.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from insecure_cots import insecure_parties
from pydantic import ValidationError

from pi_system._proto.v1.control_pb2 import (
    Choose,
    ClientEnvelope,
    DealerAccepted,
    DealerHello,
    Infer,
    Prepare,
    Probe,
    Ready,
    ServerEnvelope,
    ServerHello,
)
from pi_system.artifact.model import PublicModel, tensor_bytes
from pi_system.artifact.store import public_from_bytes, public_to_bytes
from pi_system.backends.fss.request import make_request, parse_request
from pi_system.backends.two_party.offline import linear_plan
from pi_system.channel.base import ChannelCounters
from pi_system.channel.drive import drive
from pi_system.channel.profile import Piece
from pi_system.errors import PiError
from pi_system.program.reveal import REVEALS
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.linear_he import (
    LinearHeClient,
    LinearHeServer,
    LinearHeSession,
    LinearShape,
    plan_linear,
)
from pi_system.protocols.material import unpack_material
from pi_system.protocols.ot.base_ot import BaseOtReceiver, BaseOtSender
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.relu_dcf import DCF
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW
from pi_system.protocols.relu_table import TABLE
from pi_system.protocols.square import SQUARE
from pi_system.protocols.truncation import TruncationSpec, client_message_bytes, dealt, pairs
from pi_system.ring.prg import Prg
from pi_system.rpc import envelope
from pi_system.rpc.frames import CONTROL, DATA, OPEN, FrameStream
from pi_system.rpc.phase_profile import half_from_bytes, half_to_bytes
from pi_system.rpc.session_config import Hello, SessionConfig, hello_from_proto, hello_to_proto
from pi_system.secure import eraser
from pi_system.secure.layout import Layout
from pi_system.secure.pairing import PairedStore, meet_client, meet_server
from pi_system.secure.schedule import plan
from pi_system.secure.store import MaterialStore

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from bundles import put
from gates import Prepared, prepare
from halves import run_alone
from tiny_artifact import tiny_artifact

SEED = b"0123456789abcdef"
_MAGIC_BYTES = 8  # of a public model


class Target(NamedTuple):
    """A parser and valid inputs of it."""

    parse: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]


def _closed(_: Exception) -> PiError:
    return PiError("closed")


def _stream(frames: list[bytes]) -> FrameStream:
    stream = FrameStream(5.0)
    stream.pump(frames, _closed, peer_still_reads=True)
    return stream


def _cut(data: bytes) -> list[bytes]:
    """Frames: a length byte, then so many bytes."""
    frames = []
    while data:
        frames.append(data[1 : 1 + data[0]])
        data = data[1 + data[0] :]
    return frames


def _frames(data: bytes) -> None:
    if len(data) < 3:
        return
    stream = _stream(_cut(data[3:]))
    kind, reads = data[0] % 3, 1 + data[0] // 64
    for _ in range(reads):
        if kind == 0:
            stream.read_control()
        elif kind == 1:
            stream.read_open(1.0)
        else:
            stream.read_data(int.from_bytes(data[1:3], "little"))


def _frames_seeds() -> list[bytes]:
    def frame(body: bytes, tag: int) -> bytes:
        return bytes([len(body) + 1]) + body + bytes([tag])

    return [
        b"\x42\0\0" + frame(b"abc", CONTROL) * 2,
        b"\1\0\0" + frame(b"", OPEN),
        b"\2\x06\0" + frame(b"abc", DATA + 1) + frame(b"def", DATA),
        b"\2\0\0" + frame(b"", DATA),
    ]


def _client_envelope(data: bytes) -> None:
    kinds = ("hello", "prepare", "infer", "bye", "probe", "choose")
    message = envelope.read_client(_stream([data + bytes([CONTROL])]), *kinds)
    if message.WhichOneof("message") == "hello":
        hello_from_proto(message.hello)


def _client_envelope_seeds() -> list[bytes]:
    config = SessionConfig(backend="gmw", artifact_digest="00" * 32, client_id=bytes(16))
    messages = [
        ClientEnvelope(hello=hello_to_proto(Hello(config=config))),
        ClientEnvelope(prepare=Prepare(count=3, pairing_id=bytes(16))),
        ClientEnvelope(infer=Infer(ids=["ab" * 16] * 2)),
        ClientEnvelope(probe=Probe(bytes=1 << 14)),
        ClientEnvelope(choose=Choose(backend="gmw")),
    ]
    return [message.SerializeToString() for message in messages]


def _server_envelope(data: bytes) -> None:
    stream = _stream([data + bytes([CONTROL])] * 2)
    with suppress(PiError):
        envelope.read_server(stream, "hello")
    envelope.read(stream, DealerHello)


def _server_envelope_seeds() -> list[bytes]:
    hello = ServerHello(protocol_version=1, artifact_digest="00" * 32, public_model_bytes=9, profile=True)
    dealer = DealerHello(protocol_version=1, pairing_id=bytes(16), role="server", backend="fss", count=2)
    messages = [ServerEnvelope(hello=hello), ServerEnvelope(ready=Ready()), dealer, DealerAccepted()]
    return [message.SerializeToString() for message in messages]


def _public_seeds() -> list[bytes]:
    return [public_to_bytes(tiny_artifact())]


def _model(data: bytes) -> None:
    """A model of any content under the right digests: what comes after they have been checked."""
    header, _, masks = data.partition(b"\0\0\0\0")
    try:
        content = json.loads(header)
        content["masks_digest"] = hashlib.sha256(masks).hexdigest()
        digest = PublicModel.model_validate(content).digest
    except ValidationError:
        digest = ""
    except (ValueError, TypeError, RecursionError):
        return
    wrapped = json.dumps({"digest": digest, "public": content}).encode()
    parts = b"".join(len(part).to_bytes(8, "little") + part for part in (wrapped, masks))
    public = public_from_bytes(public_to_bytes(tiny_artifact())[:_MAGIC_BYTES] + parts)
    if sum(int(np.prod(node.shape)) for node in public.public.graph) < 1 << 16:
        for reveal in REVEALS:
            with suppress(PiError):  # nor does every policy suit every width of logits
                plan(public.public.graph, public.public.ring, public.masks, reveal)
        with suppress(PiError):  # rings below 16 bits are for other backends
            linear_plan(public)


def _model_seeds() -> list[bytes]:
    artifact = tiny_artifact()
    return [artifact.public.canonical_json() + b"\0\0\0\0" + tensor_bytes(artifact.masks)]


def _profile(data: bytes) -> None:
    graph = tiny_artifact().public.graph
    with suppress(PiError):
        half_from_bytes(data, "offline", graph)
    half_from_bytes(data, "online", graph)


def _profile_seeds() -> list[bytes]:
    piece = Piece(
        layer="conv",
        kind="conv2d",
        track="compute",
        start_ns=5,
        duration_ns=7,
        sent_bytes=1,
        received_bytes=2,
        rounds=0,
    )
    return [half_to_bytes((piece, replace(piece, layer="relu")), arrived_ns=1, replied_ns=20)]


@cache
def _he() -> tuple[LinearHeServer, LinearHeClient, LinearHeSession]:
    layer = LinearShape(name="a", source="x", in_channels=3, out_channels=5)
    weights = {"a": np.arange(15, dtype=np.int64).reshape(5, 3)}
    built = plan_linear([layer], 32, 8)
    client, server = LinearHeClient(built, Prg(SEED)), LinearHeServer(built, weights)
    return server, client, LinearHeSession(server, client.hello().data)


def _sized(data: bytes, size: int) -> bytes:
    """``data`` as the first byte says: as it is, or repeated to the size that a peer's message must have."""
    if not data or data[0] % 4 == 0:
        return data[1:]
    body = data[1:] or b"\0"
    return (body * (size // len(body) + 1))[:size]


def _he_request(data: bytes) -> None:
    server, _, session = _he()
    if data[:1] >= b"\x80":
        LinearHeSession(server, _sized(data, server.plan.hello_bytes()))
    for _ in session.answers(0, _sized(data, server.plan.request_bytes(0)), [Prg(SEED)]):
        pass


def _he_answer(data: bytes) -> None:
    server, client, _ = _he()
    (chunk,) = server.plan.chunks(0)
    share = np.zeros((1, 5, 1, 1), np.uint32)
    client.receive(0, chunk, _sized(data, server.plan.chunk_bytes(0, chunk)), share)


def _he_seeds() -> list[bytes]:
    _, client, _ = _he()
    request = bytes(client.request(0, np.zeros(3, np.uint64)))
    return [b"\0" + request, b"\1" + bytes(32), b"\x81" + b"\xff" * 7]


def _he_answer_seeds() -> list[bytes]:
    _, client, session = _he()
    (answer,) = session.answers(0, client.request(0, np.zeros(3, np.uint64)).data, [Prg(SEED)])
    return [b"\0" + bytes(answer), b"\1" + bytes(32)]


def _material_file(data: bytes) -> None:
    store, name, layout = _store()
    eraser.finish()  # what was loaded before is emptied behind its load: the same inode, here
    kept = store._folder / "kept"  # one inode all the time: its birth is in the seed's header
    with kept.open("ab") as file:
        file.truncate(0)
        file.write(data)
    store._path(name).unlink(missing_ok=True)
    store._path(name).hardlink_to(kept)
    store.load(name, layout)


@cache
def _store() -> tuple[MaterialStore, str, Layout]:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    fields = {"role": "server", "digest": "d" * 64, "backend": "gmw", "pairing_id": "ab" * 16}
    return MaterialStore(folder, **fields, limit_bytes=1 << 30), "cd" * 16, Layout.of([("seed", 16), ("gate", 40)])


def _material_seeds() -> list[bytes]:
    store, name, layout = _store()
    if not (store._folder / "kept").exists():
        put(store, name, layout)
        store._path(name).rename(store._folder / "kept")
        (store._folder / "seed").write_bytes((store._folder / "kept").read_bytes())
    return [(store._folder / "seed").read_bytes()]


def _gate_material(data: bytes) -> None:
    unpack_material(data, {"a": ((3, 2), np.uint64), "b": ((5,), np.uint8), "empty": ((0,), np.uint32)})


def _base_ot(data: bytes) -> None:
    """The peer's messages of the base OTs: points of a group."""
    sent = (data[1:] + bytes(64))[:32] if data[:1] < b"\xf0" else data[1:]
    receiver = data[:1] < b"\x80"
    half = BaseOtReceiver(np.zeros(1, np.uint8), Prg(SEED)).run() if receiver else BaseOtSender(Prg(SEED)).finish(1)
    run_alone(half, sent)


def _base_ot_seeds() -> list[bytes]:
    point = BaseOtSender(Prg(SEED)).point
    return [b"\0" + point, b"\x80" + point, b"\0" + b"\1" + bytes(31), b"\0" + bytes(32)]


class _Peer:
    """A channel whose peer sends ``data``, over and over, in messages of the size that is expected."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data or b"\0", 0
        self.counters = ChannelCounters()

    def send(self, data: object) -> None:
        """Nobody reads it."""

    def recv(self, nbytes: int) -> memoryview:
        repeated = self._data * (nbytes // len(self._data) + 2)
        start, self._at = self._at, (self._at + nbytes) % len(self._data)
        return memoryview(repeated[start : start + nbytes])

    def close(self) -> None:
        """Nothing to close."""


_GATE = GateSpec(count=45, ring_bits=59, comparison_bits=24, shift=10)
_FEW_BITS = replace(_GATE, unseen_bits=6)
_SQUARE_GATE = GateSpec(kind="square", count=45, ring_bits=59, comparison_bits=24, shift=0)
_TRUNCATED = TruncationSpec(count=45, ring_bits=59, shift=12)
_DEALT = DCF
_GATES: tuple[OtGate, ...] = (GMW, GC, SQUARE, TABLE)
_ALL = ((GMW, _GATE), (GC, _GATE), (SQUARE, _SQUARE_GATE), (TABLE, _FEW_BITS), (_DEALT, _GATE), (_DEALT, _FEW_BITS))


def _gate_offline(data: bytes) -> None:
    """A gate's offline phase, or a truncation's, of either party, with whatever a peer sends."""
    (number, at_client), peer = divmod(data[0] if data else 0, 2), _Peer(data[1:])
    share, ends, number = Prg(SEED).ring(_GATE.count, 59), insecure_parties(SEED), number % (len(_GATES) + 1)
    if number == len(_GATES):
        if at_client:
            drive(pairs.offline_client(_TRUNCATED, share, share, ends[1]), peer)
        else:
            drive(pairs.offline_server(_TRUNCATED, ends[0], Prg(SEED)), peer)
        return
    gate, spec = _GATES[number], _ALL[number][1]
    if at_client:
        drive(gate.offline_client(spec, share, share, ends[1], Prg(SEED)), peer)
    else:
        drive(gate.offline_server(spec, ends[0], Prg(SEED)), peer)


@cache
def _prepared(index: int) -> Prepared:
    gate, spec = _ALL[index]
    return prepare(gate, spec, np.zeros(spec.count, np.int64), seed=SEED)


def _gate_online(data: bytes) -> None:
    """Both parties' gates, each with whatever its peer sends."""
    choice, peer = data[0] if data else 0, _Peer(data[1:])
    server, client = _prepared(choice % len(_ALL)).gates()
    excess, share, count = choice >> 7, Prg(SEED).ring(_GATE.count, 59), _GATE.count
    server.load(0, share)
    for exchange in range(server.round_trips):
        server.send(exchange, 0, count)
        server.work(exchange, 0, count)
        client.reply(exchange, 0, count, peer.recv(client.message_bytes(exchange, count) + excess))
        server.receive(exchange, 0, count, peer.recv(server.reply_bytes(exchange, count) + excess))
    server.result()


def _truncation(data: bytes) -> None:
    dealt.receive_correction(_TRUNCATED, memoryview(data))
    dealt.receive_masked(_TRUNCATED, SEED, memoryview(data))


def _meeting(data: bytes) -> None:
    """The comparison of records of uses, of either side, with whatever the peer says."""
    role = "server" if data[:1] < b"\x80" else "client"
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        fields = {"role": role, "digest": "d" * 64, "backend": "gmw", "pairing_id": "ab" * 16}
        store = PairedStore(Path(folder), **fields, limit_bytes=1 << 30)
        (meet_server if role == "server" else meet_client)(store, _Peer(data[1:]))


TARGETS: dict[str, Target] = {
    "frames": Target(_frames, _frames_seeds),
    "client_envelope": Target(_client_envelope, _client_envelope_seeds),
    "server_envelope": Target(_server_envelope, _server_envelope_seeds),
    "public_model": Target(public_from_bytes, _public_seeds),
    "dealer_request": Target(parse_request, lambda: [make_request(tiny_artifact(), "label")]),
    "model": Target(_model, _model_seeds),
    "profile": Target(_profile, _profile_seeds),
    "he_request": Target(_he_request, _he_seeds),
    "he_answer": Target(_he_answer, _he_answer_seeds),
    "material_file": Target(_material_file, _material_seeds),
    "gate_material": Target(_gate_material, lambda: [bytes(53)]),
    "base_ot": Target(_base_ot, _base_ot_seeds),
    "gate_offline": Target(_gate_offline, lambda: [bytes([choice]) + SEED for choice in range(2 * len(_GATES) + 2)]),
    "gate_online": Target(_gate_online, lambda: [bytes([choice]) + SEED for choice in range(len(_ALL))]),
    "truncation": Target(_truncation, lambda: [bytes(client_message_bytes(_TRUNCATED))]),
    "meeting": Target(_meeting, lambda: [b"\0\1" + SEED, b"\x80" + SEED]),
}


def run(name: str, data: bytes) -> None:
    """One input: typed errors are answers, anything else is a finding."""
    with suppress(PiError):
        TARGETS[name].parse(data)
