"""Stores put back from a backup, on one side or on both: no material is used twice."""

import gc
import logging
import shutil
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parties import BACKENDS, PAIRING, infer, make_parties, prepare, prepared, reserve, run_parties, uses_in
from recording import Recorder
from scaled_artifact import relu_artifact

from pi_system.errors import (
    CorrelationExhaustedError,
    CorrelationMismatchError,
    LocalProtocolError,
    RemoteProtocolError,
)
from pi_system.export.random import random_pictures
from pi_system.program.encoding import encode_input
from pi_system.ring.carrier import Ring
from pi_system.secure import place
from pi_system.secure.chain import Uses

ARTIFACT = relu_artifact(weight_scale=0.3)
PICTURES = random_pictures((1, 8, 8), 2, 0)
ROLES = ("client", "server")


def masked(server: Any, client: Any, picture: Any) -> Any:
    """One inference; what the server received first: the masked picture."""
    received = Recorder()
    infer(server, client, picture, wrap=received)
    return np.frombuffer(received["server"][0], np.uint32)


def after_one_of_two(backend: str, root: Path) -> Any:
    """Two inferences prepared, a copy of both stores taken, one inference run; what the server received."""
    server, client = prepared(backend, ARTIFACT, root / "store", 2)
    shutil.copytree(root / "store", root / "backup")
    return masked(server, client, PICTURES[:1])


def replaced(store: Path, backup: Any) -> None:
    shutil.rmtree(store)
    shutil.copytree(backup, store)


def moved(store: Path, backup: Any) -> None:
    shutil.rmtree(store)
    backup.rename(store)


def written_over(store: Path, backup: Any) -> None:
    """Each file's content is written into the file that is there, as ``cp -a`` does."""
    shutil.copytree(backup, store, dirs_exist_ok=True)


def completed(store: Any, backup: Any, pattern: Any = "*") -> Any:
    """Only what is missing is put back."""
    for path in backup.rglob(pattern):
        target = store / path.relative_to(backup)
        if path.is_file() and not target.exists():
            shutil.copy2(path, target)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies as those of a volume's blocks: no file can tell that it is one. The parties' messages are all there is."""
    monkeypatch.setattr(place, "place_of", lambda descriptor: "everywhere")


@pytest.mark.parametrize(
    ("backend", "restore"),
    [*((backend, replaced) for backend in BACKENDS), ("gmw", moved), ("gmw", written_over)],
)
def test_both_stores_put_back_from_one_copy_use_nothing_twice(
    backend: str, restore: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    after_one_of_two(backend, tmp_path)
    restore(tmp_path / "store", tmp_path / "backup")
    server, client = make_parties(backend, ARTIFACT, tmp_path / "store")
    assert client.available() == 0
    assert not list((tmp_path / "store").rglob("*.ready"))
    assert "2 unused inferences burned" in caplog.text
    with pytest.raises(CorrelationExhaustedError):
        client.reserve(1)
    prepare(server, client, 1)
    infer(server, client, PICTURES[1:])


def test_only_what_is_missing_put_back_is_refused_by_its_mark(tmp_path: Path) -> None:
    after_one_of_two("gmw", tmp_path)
    completed(tmp_path / "store", tmp_path / "backup", "*.ready")
    server, client = make_parties("gmw", ARTIFACT, tmp_path / "store")
    used = set(uses_in(tmp_path / "store" / "client"))
    with pytest.raises(CorrelationExhaustedError):
        client.reserve(2)
    names = client.reserve(1)
    server.reserve(names)
    assert not {name[16:] for name in names} & used
    assert client.available() == 0


def test_an_index_with_the_log_of_an_older_one_beside_it_is_found_by_the_record_of_uses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """sqlite takes the older log for its own, and what it holds with it."""
    after_one_of_two("gmw", tmp_path)
    gc.collect()  # closes the index, whose log is gone then
    assert not list((tmp_path / "store").rglob("*-wal"))
    completed(tmp_path / "store", tmp_path / "backup")
    _, client = make_parties("gmw", ARTIFACT, tmp_path / "store")
    assert client.available() == 0
    assert "expected one as new as the record of uses, found an older one: 2 unused inferences burned" in caplog.text


def test_documented_limit_blocks_of_both_sides_put_back_at_once_give_the_difference_away(
    blocks: Any, tmp_path: Path
) -> None:
    first = after_one_of_two("gmw", tmp_path)
    replaced(tmp_path / "store", tmp_path / "backup")
    second = masked(*make_parties("gmw", ARTIFACT, tmp_path / "store"), PICTURES[1:])
    x1, x2 = (encode_input(PICTURES[i : i + 1], ARTIFACT.public.graph, ARTIFACT.public.ring) for i in range(2))
    assert (first - second == Ring(32).from_signed((x1 - x2).reshape(-1))).all()


@pytest.mark.parametrize("role", ROLES)
def test_one_side_put_back_is_found_by_the_other(
    blocks: Any, role: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    after_one_of_two("gmw", tmp_path)
    replaced(tmp_path / "store" / role, tmp_path / "backup" / role)
    server, client = make_parties("gmw", ARTIFACT, tmp_path / "store")
    assert client.available() == 0
    assert not list((tmp_path / "store").rglob("*.ready"))
    assert "records of uses do not fit" in caplog.text
    prepare(server, client, 1)
    infer(server, client, PICTURES[1:])


@pytest.mark.parametrize("older", ROLES)
def test_both_put_back_to_different_moments_are_found(blocks: Any, older: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    server, client = prepared("gmw", ARTIFACT, store, 3)
    shutil.copytree(store / older, tmp_path / "older")
    infer(server, client, PICTURES[:1])
    (younger,) = set(ROLES) - {older}
    shutil.copytree(store / younger, tmp_path / "younger")
    infer(server, client, PICTURES[:1])
    replaced(store / older, tmp_path / "older")
    replaced(store / younger, tmp_path / "younger")
    make_parties("gmw", ARTIFACT, store)
    assert not list(store.rglob("*.ready"))


def test_records_of_two_epochs_do_not_fit_whatever_their_numbers(blocks: Any, tmp_path: Path) -> None:
    for root in ("store", "other"):
        prepared("gmw", ARTIFACT, tmp_path / root, 1)
    replaced(tmp_path / "store" / "client", tmp_path / "other" / "client")
    server, client = make_parties("gmw", ARTIFACT, tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.ready"))
    prepare(server, client, 1)
    infer(server, client, PICTURES[:1])


def test_an_index_of_another_epoch_than_the_record_of_uses_burns_what_it_lists(tmp_path: Path) -> None:
    server, _ = prepared("gmw", ARTIFACT, tmp_path, 1)
    server.store.index.set_record(server.store.key, ("ab" * 16, 9, 9))
    assert server.store.recorded() == Uses()
    assert server.store.ids() == []


@pytest.mark.parametrize("lost", ROLES)
def test_a_store_that_is_lost_costs_the_others_half_and_no_more(lost: str, tmp_path: Path) -> None:
    server, client = prepared("gmw", ARTIFACT, tmp_path, 1)
    shutil.rmtree(tmp_path / lost)
    server, client = make_parties("gmw", ARTIFACT, tmp_path)
    assert not list(tmp_path.rglob("*.ready"))
    prepare(server, client, 1)
    infer(server, client, PICTURES[:1])


def test_a_store_put_back_under_an_open_session_ends_it(tmp_path: Path) -> None:
    server, client = prepared("gmw", ARTIFACT, tmp_path / "store", 2)
    shutil.copytree(tmp_path / "store", tmp_path / "backup")
    infer(server, client, PICTURES[:1])
    replaced(tmp_path / "store", tmp_path / "backup")
    with pytest.raises(CorrelationMismatchError, match="connect again to prepare anew"):
        client.reserve(1)


def test_a_new_epoch_ends_sessions_of_the_old_one(tmp_path: Path) -> None:
    server, client = prepared("gmw", ARTIFACT, tmp_path, 1)
    shutil.rmtree(tmp_path / "client")
    make_parties("gmw", ARTIFACT, tmp_path)
    with pytest.raises(CorrelationMismatchError, match="connect again"):
        server.reserve(("0" * 15 + "1" + "a" * 32,))
    bundle_ids = [path.stem for path in tmp_path.rglob("*.ready")]
    with pytest.raises((CorrelationMismatchError, RuntimeError)):
        prepare(server, client, 1)
    assert [path.stem for path in tmp_path.rglob("*.ready")] == bundle_ids == []


@pytest.mark.parametrize("cheater", ROLES)
def test_a_meeting_with_garbage_is_the_peers_fault_and_burns_nothing(cheater: str, tmp_path: Path) -> None:
    prepared("gmw", ARTIFACT, tmp_path, 1)
    server, client = make_parties("gmw", ARTIFACT, tmp_path, met=False)
    bodies = {"server": server.meet, "client": client.meet, cheater: lambda channel: channel.send(b"short")}
    with pytest.raises(RemoteProtocolError):
        run_parties(bodies["server"], bodies["client"])
    assert len(list(tmp_path.rglob("*.ready"))) == 2


@pytest.mark.parametrize("use", [1 << 63, (1 << 64) - 1])
def test_a_use_numbered_beyond_what_the_index_holds_is_the_peers_fault(use: int, tmp_path: Path) -> None:
    server, client = prepared("gmw", ARTIFACT, tmp_path, 1)
    with pytest.raises(CorrelationMismatchError, match="number below 2\\^63"):
        server.reserve((f"{use:016x}{client.store.ids()[0]}",))
    server, _ = make_parties("gmw", ARTIFACT, tmp_path, met=False)
    for last, confirmed in ((use, 0), (0, use)):

        def lie(channel: Any, answer: bytes = struct.pack("<?QQ", True, last, confirmed)) -> None:
            channel.recv(24)
            channel.send(answer)

        with pytest.raises(RemoteProtocolError, match="numbered below 2\\^63"):
            run_parties(server.meet, lie)
    server, client = make_parties("gmw", ARTIFACT, tmp_path)
    infer(server, client, PICTURES[:1])


def test_nothing_is_given_out_without_a_meeting(tmp_path: Path) -> None:
    server, client = make_parties("gmw", ARTIFACT, tmp_path, met=False)
    with pytest.raises(LocalProtocolError, match="without a meeting"):
        client.reserve(1)
    with pytest.raises(LocalProtocolError, match="without a meeting"):
        server.reserve(("0" * 48,))


def _warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("stage", ["client reserved", "server reserved", "confirmed"])
def test_a_process_killed_between_the_two_sides_records_costs_one_bundle(
    stage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, client = prepared("gmw", ARTIFACT, tmp_path, 3)
    for _ in range(2):  # twice: what a crash leaves open must not add up
        names = client.reserve(1)
        if stage != "client reserved":
            server.reserve(names)
        if stage == "confirmed":
            client.confirm(names)
        server, client = make_parties("gmw", ARTIFACT, tmp_path)
    assert _warned(caplog) == []
    assert client.available() == 1
    infer(server, client, PICTURES[:1])


def test_after_a_crash_the_next_meeting_closes_the_gap(blocks: Any, tmp_path: Path) -> None:
    """Else one crash would hide a later restore of one step."""
    server, client = prepared("gmw", ARTIFACT, tmp_path / "store", 3)
    client.reserve(1)  # a use that the server never hears of
    server, client = make_parties("gmw", ARTIFACT, tmp_path / "store")
    shutil.copytree(tmp_path / "store" / "client", tmp_path / "client")
    infer(server, client, PICTURES[:1])
    replaced(tmp_path / "store" / "client", tmp_path / "client")
    make_parties("gmw", ARTIFACT, tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.ready"))


def test_sessions_side_by_side_burn_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = make_parties("gmw", ARTIFACT, tmp_path)
    second = make_parties("gmw", ARTIFACT, tmp_path)
    prepare(*first, 4)
    late, early = first[1].reserve(1), second[1].reserve(1)
    second[0].reserve(early)  # reserved last, heard of first
    second[1].confirm(early)
    third = make_parties("gmw", ARTIFACT, tmp_path)  # meets while a use is in flight
    first[0].reserve(late)
    first[1].confirm(late)
    assert first[1].store.recorded().confirmed == 2
    for server, client in (first, second, third):
        server.reserve(client.reserve(1)) if client.available() else None
    assert _warned(caplog) == []
    assert make_parties("gmw", ARTIFACT, tmp_path)[1].available() == 0


def test_first_meetings_at_once_agree_on_one_epoch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sessions = [make_parties("gmw", ARTIFACT, tmp_path, met=False) for _ in range(2)]
    stores = [(server.store, client.store) for server, client in sessions]
    announced = [server.recorded() for server, _ in stores]
    answers = [client.answer(record) for (_, client), record in zip(stores, announced, strict=True)]
    epochs = [server.settle(a, *answer) for (server, _), a, answer in zip(stores, announced, answers, strict=True)]
    assert epochs[0] == epochs[1]
    stores[0][1].adopt(epochs[0], *answers[0])
    prepare(*sessions[0], 1)
    stores[1][1].adopt(epochs[1], *answers[1])
    assert sessions[1][1].available() == 1
    infer(*sessions[1], PICTURES[:1])
    assert _warned(caplog) == []


def test_an_answer_that_the_server_did_not_note_confirms_nothing(tmp_path: Path) -> None:
    _, client = prepared("gmw", ARTIFACT, tmp_path, 1)
    client.reserve(1)
    epoch, told = client.store.epoch, client.store.recorded()
    client.store.adopt(epoch, False, told)
    client.store.adopt(epoch, True, Uses(epoch="c" * 32, last=1))
    assert client.store.recorded().confirmed == 0
    client.store.adopt(epoch, True, told)
    assert client.store.recorded().confirmed == 1


def test_many_sessions_of_one_client_at_once_share_the_material(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepared("gmw", ARTIFACT, tmp_path, 6)

    def run(_: int) -> list[str]:
        return [name for _ in range(3) for name in reserve(*make_parties("gmw", ARTIFACT, tmp_path), 1)]

    with ThreadPoolExecutor(2) as pool:
        names = [name for found in pool.map(run, range(2)) for name in found]
    assert len({name[16:] for name in names}) == 6
    assert _warned(caplog) == []


def test_records_of_another_protocol_version_burn_what_lies_beside_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as older:
        older.setattr("pi_system.secure.kept.PROTOCOL_VERSION", 1)
        prepared("gmw", ARTIFACT, tmp_path, 1)
    _, client = make_parties("gmw", ARTIFACT, tmp_path)
    assert client.available() == 0
    assert "expected protocol version" in caplog.text
    assert "found 1" in caplog.text


def test_logs_name_no_pairing_id_and_no_epoch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server, _ = prepared("gmw", ARTIFACT, tmp_path, 1)
    shutil.rmtree(tmp_path / "server")
    make_parties("gmw", ARTIFACT, tmp_path)
    assert "burned" in caplog.text
    assert PAIRING not in caplog.text
    assert server.store.epoch not in caplog.text
