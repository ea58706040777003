"""The fast runtime when something breaks: every fault is a typed error and no material is used twice."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from changed_artifact import runnable
from parties import BACKENDS, infer, make_parties, prepare, prepared, reserve, run_parties
from recording import Relay
from scaled_artifact import relu_artifact

from pi_system.backends.fss.dealer import deal
from pi_system.backends.fss.request import make_request, parse_request
from pi_system.backends.two_party.gates import TWO_PARTY_GATES
from pi_system.channel.memory import memory_pair
from pi_system.errors import (
    CorrelationMismatchError,
    CorrelationReusedError,
    LocalProtocolError,
    PeerUnavailableError,
    RemoteProtocolError,
    StorageError,
)
from pi_system.export.random import random_pictures
from pi_system.secure import party as secure_party

ARTIFACT = relu_artifact(weight_scale=0.3)
PICTURE = random_pictures((1, 8, 8), 1, 0)


@pytest.fixture(params=BACKENDS)
def parties(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return prepared(request.param, ARTIFACT, tmp_path, 1)


def test_the_server_refuses_material_named_twice(parties: Any) -> None:
    server, client = parties
    ids = client.reserve(1)
    server.reserve(ids)
    with pytest.raises(CorrelationReusedError):
        server.reserve(ids)


@pytest.mark.parametrize("backend", list(TWO_PARTY_GATES))
def test_the_server_refuses_a_run_of_pictures_that_names_material_twice(backend: str, tmp_path: Path) -> None:
    server, client = make_parties(backend, runnable(backend, ARTIFACT), tmp_path)

    class Twice(Relay):
        def send(self, data: Any) -> None:
            super().send(bytes(data[:16]) + bytes(data[:32]) if len(data) == 48 else data)

    with pytest.raises(CorrelationReusedError, match="expected a new id"):
        prepare(server, client, 3, wrap=lambda role, end: Twice(end) if role == "client" else end)
    assert client.available() == 0
    prepare(server, client, 2)
    assert client.available() == 2


def test_the_server_refuses_material_it_never_had(parties: Any) -> None:
    server, client = parties
    (known,) = client.reserve(1)
    unknown = f"{1:016x}{'f' * 32}"
    for names in ((unknown,), (known, unknown)):
        with pytest.raises(CorrelationMismatchError, match="not held"):
            server.reserve(names)
    server.reserve((known,))  # of a batch that was refused nothing is taken


def test_the_server_refuses_a_batch_that_its_memory_would_not_hold(
    parties: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client = parties
    prepare(server, client, 1)
    monkeypatch.setattr(secure_party, "MAX_BATCH_BYTES", 2 * server.layout.nbytes - 1)
    names = client.reserve(2)
    with pytest.raises(RemoteProtocolError, match="batch: expected at most"):
        server.reserve(names)
    server.reserve(names[:1])


@pytest.mark.parametrize("side", ["server", "client"])
def test_what_would_not_fit_on_the_disk_is_refused_before_anything_is_made(
    side: str, parties: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client = parties
    party = {"server": server, "client": client}[side]
    before = client.available(), set(party.model_folder.rglob("*"))
    free, usage = party.disk_bytes(3) - 1, shutil.disk_usage(party.model_folder.parent)
    monkeypatch.setattr(
        secure_party,
        "disk_usage",
        lambda path: usage._replace(free=free) if path == party.model_folder.parent else usage,
    )
    with pytest.raises(StorageError, match=f"MB of free disk at the {side} for 3 inferences"):
        prepare(server, client, 3)
    assert (client.available(), set(party.model_folder.rglob("*"))) == before


def test_infer_needs_a_reservation_and_uses_it_up(parties: Any) -> None:
    server, client = parties
    ids = reserve(server, client, 1)
    infer(server, client, PICTURE, ids=ids)
    with pytest.raises(LocalProtocolError):
        server.infer(ids, memory_pair(1.0)[0])
    with pytest.raises(LocalProtocolError):
        client.infer(PICTURE, ids, memory_pair(1.0)[0])


def test_two_pictures_are_not_sent_under_one_mask(parties: Any) -> None:
    server, client = parties
    ids, (ours, _) = reserve(server, client, 1), memory_pair(1.0)
    with pytest.raises(LocalProtocolError, match="reserved material for 2 pictures"):
        client.infer(np.concatenate([PICTURE, PICTURE]), ids, ours)
    assert ours.counters.sent_bytes == 0


def test_no_second_gate_is_made_of_one_material(parties: Any) -> None:
    """A gate takes each chunk once; two gates of one material would take it twice under the same masks."""
    server, client = parties
    bundles: list[Any] = []
    for party in parties:
        party._run = bundles.extend
    server.reserve(client.reserve(1))
    gate = server.schedule.gates[0]
    for party, bundle in zip((client, server), bundles, strict=True):
        party.gate(bundle, gate.name, gate.spec)
        with pytest.raises(CorrelationReusedError, match="found taken"):
            party.gate(bundle, gate.name, gate.spec)


SIZES = (0, 1, 255, 257)
"""Of a first message that must have 256 bytes."""


def short_reply(channel: Any) -> None:
    channel.send(np.zeros(64, np.uint32).data)
    channel.send(b"short")


@pytest.mark.parametrize(
    ("cheat", "error", "text"),
    [
        *((lambda channel, size=size: channel.send(bytes(size)), RemoteProtocolError, "of 256") for size in SIZES),
        (short_reply, RemoteProtocolError, "expected a message"),
        (lambda channel: channel.close(), PeerUnavailableError, None),
    ],
)
def test_what_a_client_does_online_is_a_typed_error_of_its_own(
    parties: Any, cheat: Any, error: type[Exception], text: str | None
) -> None:
    server, client = parties
    ids = reserve(server, client, 1)
    with pytest.raises(error, match=text):
        run_parties(lambda channel: server.infer(ids, channel), cheat)


@pytest.mark.parametrize("backend", TWO_PARTY_GATES)
@pytest.mark.parametrize("cheater", ["server", "client"])
def test_garbage_in_the_offline_phase_is_the_peers_fault_and_leaves_no_material(
    backend: str, cheater: str, tmp_path: Path
) -> None:
    server, client = make_parties(backend, ARTIFACT, tmp_path)

    class Garbling(Relay):
        sent = 0

        def send(self, data: Any) -> None:
            self.sent += 1
            super().send(b"\xff" * (memoryview(data).nbytes if self.sent > 1 else 7))

    with pytest.raises((RemoteProtocolError, PeerUnavailableError)):
        prepare(server, client, 1, wrap=lambda role, channel: Garbling(channel) if role == cheater else channel)
    assert client.available() == 0


def test_a_dealer_that_dies_in_the_middle_leaves_no_material(tmp_path: Path) -> None:
    server, client = make_parties("fss", ARTIFACT, tmp_path)

    def dying(request: Any, count: int, to_server: Any, to_client: Any) -> None:
        deal(request, 1, to_server, to_client)  # one of two pictures, then it is gone
        raise PeerUnavailableError("dealer process ended")

    with pytest.raises(PeerUnavailableError):
        prepare(server, client, 2, deal=dying)
    assert client.available() == 1
    ids = client.reserve(1)
    server.reserve(ids)


def test_damaged_material_is_refused_and_burned(parties: Any, tmp_path: Path) -> None:
    _, client = parties
    (path,) = (tmp_path / "client").rglob("*.ready")
    content = bytearray(path.read_bytes())
    content[-100] ^= 64
    path.write_bytes(content)
    with pytest.raises(CorrelationMismatchError, match="damaged"):
        client.reserve(1)
    assert client.available() == 0


@pytest.mark.parametrize("request_bytes", [b"", b"\x00", b"\x07\x00", b"\x00\x03", b"\x00\x00garbage"])
def test_the_dealer_refuses_a_damaged_request(request_bytes: bytes) -> None:
    with pytest.raises(Exception, match="expected") as caught:
        parse_request(request_bytes)
    assert caught.type.__module__ == "pi_system.errors"


def test_a_request_names_the_model_and_what_is_revealed() -> None:
    public, reveal = parse_request(make_request(ARTIFACT, "scores"))
    assert public.public.digest == ARTIFACT.public.digest
    assert reveal == "scores"
