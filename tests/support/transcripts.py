"""Every protocol and phase run with all of its randomness fixed: digests of what each party receives and ends up with.

``make golden`` (this file as a program) writes them to tests/golden/transcripts.json and says which have changed.
"""

import hashlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pi_system.artifact import Artifact

sys.path.insert(0, str(Path(__file__).parent))

from gates import SEED, dealt_material, exchange, share
from halves import run_halves
from insecure_cots import insecure_parties
from parties import infer, make_parties, prepare, run_parties
from recording import Recorder
from scaled_artifact import relu_artifact
from tiny_artifact import tiny_artifact

from pi_system.artifact.graph import Linear
from pi_system.backends.fss.dealer import deal
from pi_system.program.reveal import Reveal
from pi_system.protocols.dealt import DealtGate
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import Half, Send, in_turn
from pi_system.protocols.linear_he import LinearHeClient, LinearHeServer, LinearShape, plan_linear, plan_together
from pi_system.protocols.ot import ot_setup
from pi_system.protocols.ot.base_ot import BaseOtReceiver, BaseOtSender
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.relu_dcf import DCF
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW
from pi_system.protocols.relu_table import TABLE
from pi_system.protocols.square import DEALT_SQUARE, SQUARE
from pi_system.protocols.truncation import TruncationSpec, pairs, truncate
from pi_system.protocols.truncation import dealt as truncation
from pi_system.ring.prg import Prg, fresh_seed
from pi_system.secure.seeds import PartySeed, fixed_mask

GOLDEN = Path(__file__).parents[1] / "golden" / "transcripts.json"
SERVER, CLIENT = b"seed of a server", b"seed of a client"
PARTIES = ("server", "client")
Transcript = dict[str, str]


def digest(*parts: Any) -> str:
    """16 hex digits of the parts, whose lengths count, too."""
    found = hashlib.sha256()
    for part in parts:
        data = part.tobytes() if isinstance(part, np.ndarray) else bytes(part)
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()[:16]


def _halves(server: Half[Any], client: Half[Any]) -> tuple[Transcript, Any, Any]:
    """What each half received, and their results."""
    ran = run_halves(server, client)
    views = {f"{party} receives": digest(*received) for party, received in zip(PARTIES, ran.received, strict=True)}
    return dict(sorted(views.items())), ran.server, ran.client


def base_ots() -> Transcript:
    choices = np.arange(40, dtype=np.uint8) % 3 % 2

    def send() -> Half[Any]:
        sender = BaseOtSender(Prg(SERVER))
        yield Send(sender.point)
        return (yield from sender.finish(len(choices)))

    views, pairs, chosen = _halves(send(), BaseOtReceiver(choices, Prg(CLIENT)).run())
    return views | {"seeds": digest(*pairs, chosen)}


def extension(silent: bool) -> Transcript:
    """Both directions, over the end of a first request."""

    def party(prg: Prg, first: bool) -> Half[list[Any]]:
        ends = yield from ot_setup(prg, silent=silent)
        turns = [ends.sender, ends.receiver] if first else [ends.receiver, ends.sender]
        cots = yield from in_turn(turn.extend(count) for count in (3000, 700) for turn in turns)
        return [batch.blocks for batch in cots]

    views, server, client = _halves(party(Prg(SERVER), True), party(Prg(CLIENT), False))
    return views | {"correlated OTs": digest(*server, *client)}


def encryption(pictures: int = 1) -> Transcript:
    """Two layers of one source and one of another, one of them strided."""
    layers = [
        LinearShape(name="a", source="x", in_channels=3, out_channels=4, in_size=(6, 6), kernel=(3, 3), padding=(1, 1)),
        LinearShape(name="b", source="x", in_channels=3, out_channels=2, in_size=(6, 6), stride=(2, 2)),
        LinearShape(name="c", source="y", in_channels=20, out_channels=5),
    ]
    plan, prg = plan_together(plan_linear(layers, 32, 12), pictures), Prg(SEED)
    weights = {layer.name: prg.ring(layer.weight_shape, 8).astype(np.int64) - 128 for layer in layers}
    masks = [{layer.source: prg.ring(layer.mask_shape, 32) for layer in layers} for _ in range(pictures)]

    def server() -> Half[Any]:
        session = yield from LinearHeServer(plan, weights).setup()
        return (yield from session.run([Prg(SERVER).child(k) if k else Prg(SERVER) for k in range(pictures)]))

    def client() -> Half[Any]:
        party = LinearHeClient(plan, Prg(CLIENT))
        yield from party.setup()
        return (yield from party.run(masks))

    views, mine, theirs = _halves(server(), client())
    both = [part[name] for shares in (mine, theirs) for part in shares for name in sorted(part)]
    return views | {"shares": digest(*both)}


def _inputs(spec: GateSpec) -> Any:
    limit = 1 << (spec.comparison_bits - 1)
    return np.maximum(Prg(SEED).ring(spec.count, spec.comparison_bits).astype(np.int64) - limit, 1 - limit)


def gate(protocol: OtGate, spec: GateSpec) -> Transcript:
    """Offline over ideal OTs, then online."""
    y_server, y_client, fresh = share(spec, _inputs(spec), Prg(SEED))
    ends = insecure_parties(SEED)
    offline, mine, theirs = _halves(
        protocol.offline_server(spec, ends[0], Prg(SERVER)),
        protocol.offline_client(spec, y_client, fresh, ends[1], Prg(CLIENT)),
    )
    online = _online(protocol.server_gate(spec, mine), protocol.client_gate(spec, theirs), y_server)
    material = {
        name: digest(*(part[key] for key in sorted(part))) for name, part in (("server", mine), ("client", theirs))
    }
    return (
        {f"offline, {name}": value for name, value in offline.items()}
        | {f"material of the {name}": value for name, value in material.items()}
        | online
    )


def _dealt(protocol: DealtGate, spec: GateSpec) -> tuple[Any, Any, Transcript]:
    """Both parties' material, and what is sent online."""
    y_server, y_client, fresh = share(spec, _inputs(spec), Prg(SEED))
    mine, theirs = dealt_material(protocol, spec, y_client, fresh, SERVER, CLIENT, bytes(16))
    return mine, theirs, _online(protocol.server_gate(spec, mine), protocol.client_gate(spec, theirs), y_server)


def dealt_relu(spec: GateSpec) -> Transcript:
    protocol = DCF
    mine, theirs, online = _dealt(protocol, spec)
    stored = {"server": (mine, protocol.server_shapes), "client": (theirs, protocol.client_shapes)}
    return {
        f"material of the {name}": digest(*(part[key] for key in shapes(spec)))
        for name, (part, shapes) in stored.items()
    } | online


def dealt_square(spec: GateSpec) -> Transcript:
    _, y_client, fresh = share(spec, _inputs(spec), Prg(SEED))
    salt = bytes(16)  # of no use to a square
    _, (correction,) = DEALT_SQUARE.deal(spec, SERVER, CLIENT, salt)
    kept, delta = DEALT_SQUARE.client_offline(spec, CLIENT, salt, y_client, fresh, [memoryview(correction)])
    return {"offline": digest(correction, delta, kept["offset"])} | _dealt(DEALT_SQUARE, spec)[2]


TRUNCATION = TruncationSpec(count=45, ring_bits=59, shift=12)


def _shares_to_truncate() -> tuple[Any, Any, Any]:
    """Shares of the server and of the client, and its mask; of those a truncation must not look beyond."""
    y_0, y_1, r = (Prg(SEED).child(name).ring(TRUNCATION.count, TRUNCATION.ring_bits) for name in ("y_0", "y_1", "r"))
    return y_0, y_1, r


def truncation_by_ots() -> Transcript:
    y_server, y_client, fresh = _shares_to_truncate()
    ends = insecure_parties(SEED)
    views, material, _ = _halves(
        pairs.offline_server(TRUNCATION, ends[0], Prg(SERVER)),
        pairs.offline_client(TRUNCATION, y_client, fresh, ends[1]),
    )
    return views | {"material": digest(*material), "result": digest(truncate(TRUNCATION, y_server, *material))}


def dealt_truncation() -> Transcript:
    y_server, y_client, fresh = _shares_to_truncate()
    correction, masked = (
        truncation.deal(TRUNCATION, SERVER, CLIENT, fresh),
        truncation.mask_share(TRUNCATION, CLIENT, y_client),
    )
    material = (
        truncation.receive_masked(TRUNCATION, SERVER, masked),
        truncation.receive_correction(TRUNCATION, correction),
    )
    return {
        "offline": digest(correction, masked),
        "result": digest(truncate(TRUNCATION, y_server, *material)),
    }


def _online(server: Any, client: Any, share: Any) -> Transcript:
    down, up = exchange(server, client, share)
    return {
        "online, client receives": digest(*down),
        "online, server receives": digest(*up),
        "result": digest(server.result()),
    }


def seeds() -> Transcript:
    """Every stream of a party's seed, and the fixed mask of a layer."""
    seed, node = PartySeed(SEED), Linear(name="fc", inputs=("x",), shape=(5,), in_features=7)
    return {
        "fresh mask": digest(seed.fresh_mask("relu1", 50, 37)),
        "linear share": digest(seed.linear_share(node, 37)),
        "gate seed": digest(seed.gate_seed("relu1")),
        "fixed mask": digest(fixed_mask(SEED, node, 37)),
    }


def session(backend: str, artifact: Artifact, reveal: Reveal) -> Transcript:
    """Preparation and inference of a batch of two, everything a party receives."""
    offline, online = Recorder(), Recorder()
    shape = artifact.public.graph.input.shape
    pictures = (np.arange(2 * np.prod(shape)).reshape(2, *shape) % 17 / 8 - 1).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, _fixed_randomness():
        server, client = make_parties(backend, artifact, Path(folder), reveal=reveal, met=False)
        run_parties(_named("server meets", server.meet), _named("client meets", client.meet))
        prepare(_Named("server", server), _Named("client", client), 2, _named("dealer", deal), offline)
        result, _, _ = infer(server, client, pictures, wrap=online)
    received = {f"offline, {role}": log for role, log in offline.items()}
    received |= {f"online, {role}": log for role, log in online.items()}
    return {name: digest(*received[name]) for name in sorted(received)} | {"result": digest(result)}


_LOCAL = threading.local()


def _named(party: str, body: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        _LOCAL.prg = Prg(hashlib.sha256(party.encode()).digest()[:16])
        return body(*arguments)

    return run


class _Named:
    """A runtime whose preparation draws from its own fixed stream."""

    def __init__(self, party: str, runtime: Any) -> None:
        self.prepare = _named(party, runtime.prepare)


def _token_bytes(count: int) -> bytes:
    """Of the acting party; threads that act for none name files only."""
    return _LOCAL.prg.bytes(count) if hasattr(_LOCAL, "prg") else os.urandom(count)


@contextmanager
def _fixed_randomness() -> Iterator[None]:
    """Seeds and ids come from the acting party's stream."""
    original = fresh_seed
    with pytest.MonkeyPatch.context() as patch:
        for module in [module for name, module in list(sys.modules.items()) if name.startswith("pi_system")]:
            if getattr(module, "fresh_seed", None) is original:
                patch.setattr(module, "fresh_seed", lambda: _LOCAL.prg.bytes(16))
        patch.setattr("secrets.token_bytes", _token_bytes)
        yield


def _relu(
    count: int = 45, ring_bits: int = 32, comparison_bits: int = 24, shift: int = 10, unseen_bits: int = 0
) -> GateSpec:
    return GateSpec(
        count=count, ring_bits=ring_bits, comparison_bits=comparison_bits, shift=shift, unseen_bits=unseen_bits
    )


def _square(ring_bits: int = 59, comparison_bits: int = 24) -> GateSpec:
    return GateSpec(kind="square", count=45, ring_bits=ring_bits, comparison_bits=comparison_bits, shift=0)


def _masked() -> Any:
    """The artifact with inactive positions, on a ring that every backend takes."""
    return tiny_artifact(ring_bits=59)


CASES: dict[str, Callable[[], Transcript]] = {
    "base OTs": base_ots,
    "SoftSpokenOT": lambda: extension(False),
    "Ferret": lambda: extension(True),
    "encryption": encryption,
    "encryption, four pictures": lambda: encryption(4),
    "dcf": lambda: dealt_relu(_relu()),
    "dcf, nine bits": lambda: dealt_relu(_relu(unseen_bits=5)),
    "dcf, eight bits": lambda: dealt_relu(_relu(unseen_bits=6)),
    "dcf, six bits, no shift": lambda: dealt_relu(_relu(45, 59, 17, 0, 11)),
    "gmw": lambda: gate(GMW, _relu()),
    "gmw, no shift": lambda: gate(GMW, _relu(ring_bits=59, comparison_bits=17, shift=0)),
    "gc": lambda: gate(GC, _relu()),
    "gc, no shift": lambda: gate(GC, _relu(ring_bits=59, comparison_bits=17, shift=0)),
    "table, eight bits": lambda: gate(TABLE, _relu(unseen_bits=6)),
    "table, all bits": lambda: gate(TABLE, _relu(45, 32, 18, 10)),
    "table, ten bits, no shift": lambda: gate(TABLE, _relu(45, 59, 17, 0, 7)),
    "square by OTs": lambda: gate(SQUARE, _square()),
    "square by a dealer": lambda: dealt_square(_square()),
    "square by OTs, 32 bits": lambda: gate(SQUARE, _square(32, 16)),
    "square by a dealer, 32 bits": lambda: dealt_square(_square(32, 16)),
    "truncation by OTs": truncation_by_ots,
    "truncation by a dealer": dealt_truncation,
    "seeds": seeds,
} | {
    f"session {backend}, {name}": lambda backend=backend, make=make, reveal=reveal: session(backend, make(), reveal)
    for backend in ("fss", "gmw", "gc", "table")
    for name, make, reveal in (
        ("label", lambda: relu_artifact(0.1), "label"),
        ("scores", lambda: relu_artifact(0.1), "scores"),
        ("logits with inactive positions", _masked, "logits"),
    )
}


def main() -> None:
    """Write the file anew and tell what has changed."""
    before = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    found = {name: case() for name, case in CASES.items()}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    for name in sorted(before.keys() | found.keys()):
        if before.get(name) != found.get(name):
            old, new = before.get(name, {}), found.get(name, {})
            views = [view for view in sorted(old.keys() | new.keys()) if old.get(view) != new.get(view)]
            sys.stdout.write(f"changed: {name}: {', '.join(views)}\n")


if __name__ == "__main__":
    main()
