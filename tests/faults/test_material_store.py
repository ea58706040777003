"""Offline material that is damaged, of another model, used twice, or half written."""

import mmap
import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import put

from pi_system.durable import remove_parts
from pi_system.errors import (
    CorrelationExhaustedError,
    CorrelationMismatchError,
    CorrelationReusedError,
    LimitError,
)
from pi_system.secure import eraser, place
from pi_system.secure.kept import HEADER_BYTES
from pi_system.secure.layout import Layout
from pi_system.secure.store import MaterialStore

LAYOUT = Layout.of([("seed", 16), ("key", 1000)])
CONTENT = {name: (np.arange(size) % 251).astype(np.uint8) for name, (_, size) in LAYOUT.offsets.items()}
ID = "0" * 31 + "1"


def open_store(root: Path, **changes: Any) -> Any:
    fields = {"role": "client", "digest": "d" * 64, "backend": "fss", "pairing_id": "ab" * 16}
    return MaterialStore(root, limit_bytes=1 << 20, **(fields | changes))


def filled(root: Path, material_id: Any = ID) -> Any:
    store = open_store(root)
    with store.making(material_id, LAYOUT) as draft:
        for name, content in CONTENT.items():
            draft.fill(name, content.data)
    return store


def path_of(root: Path) -> Any:
    (path,) = root.rglob("*.ready")
    return path


def test_what_was_stored_comes_back_once(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert store.ids() == [ID]
    assert store.take_next(1) == (ID,)
    bundle = store.load(ID, LAYOUT)
    assert all((bundle.section(name) == content).all() for name, content in CONTENT.items())
    with pytest.raises(CorrelationReusedError):
        store.load(ID, LAYOUT)
    with pytest.raises(CorrelationReusedError):
        store.take(ID)
    with pytest.raises(CorrelationExhaustedError, match="expected 1 unused, found 0"):
        store.take_next(1)


def test_taking_marks_on_disk_before_loading_so_a_crash_burns_it(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.take(ID)
    again = open_store(tmp_path)  # a new process after a crash between take and load
    assert again.ids() == []
    with pytest.raises(CorrelationReusedError):
        again.take(ID)


def test_used_material_is_erased_on_disk_whatever_name_it_has(tmp_path: Path) -> None:
    store = filled(tmp_path)
    os.link(path_of(tmp_path), tmp_path / "another name")
    store.take(ID)
    bundle = store.load(ID, LAYOUT)
    assert not list(tmp_path.rglob("*.ready"))
    eraser.finish()
    assert (tmp_path / "another name").stat().st_size > 0
    del bundle
    eraser.finish()
    assert (tmp_path / "another name").stat().st_size == 0
    assert store.index.state(store.key, ID) == "used"


def test_damaged_material_is_erased_at_once_while_its_error_is_kept(tmp_path: Path) -> None:
    store = filled(tmp_path)
    with path_of(tmp_path).open("r+b") as file:
        file.seek(HEADER_BYTES + 5)
        file.write(b"\xff")
    os.link(path_of(tmp_path), tmp_path / "another name")
    store.take(ID)
    with pytest.raises(CorrelationMismatchError, match="damaged") as kept:
        store.load(ID, LAYOUT)
    assert kept.tb is not None
    eraser.finish()
    assert (tmp_path / "another name").stat().st_size == 0


def test_material_that_is_cut_while_it_is_loaded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path)
    store.take(ID)
    place_of = place.place_of

    def cut(descriptor: int) -> Any:
        os.ftruncate(descriptor, 100)
        return place_of(descriptor)

    monkeypatch.setattr(place, "place_of", cut)
    with pytest.raises(CorrelationMismatchError, match="cut while it was loaded"):
        store.load(ID, LAYOUT)
    with pytest.raises(CorrelationMismatchError):
        store.load(ID, LAYOUT)
    assert store.ids() == []


def test_what_a_use_is_done_with_is_read_from_the_file_again_until_nobody_holds_it(tmp_path: Path) -> None:
    layout = Layout.of([("seed", 16), ("gate/material", 3 * mmap.PAGESIZE)])
    store = open_store(tmp_path)
    put(store, ID, layout, 7)
    os.link(path_of(tmp_path), tmp_path / "another name")
    store.take(ID)
    bundle = store.load(ID, layout)
    header = (tmp_path / "another name").read_bytes()[:HEADER_BYTES]
    assert header == bytes(HEADER_BYTES)  # whoever finds the rest cannot use it
    found = bundle.section("gate/material")
    found[:] = 8  # of this process alone
    bundle.drop("gate")
    assert set(found[mmap.PAGESIZE : -mmap.PAGESIZE].tolist()) == {7}
    del found, bundle
    eraser.finish()
    assert (tmp_path / "another name").stat().st_size == 0


def test_nothing_is_there_after_an_error_while_a_bundle_was_made(tmp_path: Path) -> None:
    store = open_store(tmp_path)

    def interrupted() -> None:
        with store.making(ID, LAYOUT) as draft:
            draft.fill("seed", bytes(16))
            raise ConnectionError

    with pytest.raises(ConnectionError):
        interrupted()
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".ready", ".part")]
    assert store.ids() == []


def test_a_bundle_that_is_made_for_long_is_no_leftover(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.making(ID, LAYOUT) as draft:
        (part,) = tmp_path.rglob("*.part")
        os.utime(part, (0, 0))
        remove_parts(tmp_path)
        draft.fill("seed", bytes(16))
    assert store.ids() == [ID]


def test_files_and_folders_are_private(tmp_path: Path) -> None:
    filled(tmp_path)
    path = path_of(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in path.relative_to(tmp_path).parents:
        assert folder == Path() or stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


@pytest.mark.parametrize("position", [0, 10, 60, 4095, 4096, 5000])
def test_one_changed_byte_is_noticed(tmp_path: Path, position: int) -> None:
    store = filled(tmp_path)
    path = path_of(tmp_path)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    store.take(ID)
    with pytest.raises(CorrelationMismatchError, match="damaged"):
        store.load(ID, LAYOUT)


@pytest.mark.parametrize("size", [1, 100, 4096, 5000])
def test_a_truncated_file_is_noticed(tmp_path: Path, size: int) -> None:
    store = filled(tmp_path)
    os.truncate(path_of(tmp_path), size)
    store.take(ID)
    with pytest.raises(CorrelationMismatchError):
        store.load(ID, LAYOUT)


@pytest.mark.parametrize("change", [{"digest": "e" * 64}, {"role": "server"}, {"backend": "gmw"}])
def test_material_of_another_model_role_or_backend_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    filled(tmp_path)
    other = open_store(tmp_path, **change)
    with pytest.raises(CorrelationMismatchError, match="not held"):
        other.take(ID)
    path_of(tmp_path).rename(other._path(ID))
    with pytest.raises(CorrelationMismatchError, match="another model"):
        other.load(ID, LAYOUT)


def test_material_of_another_protocol_version_is_refused_and_burned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as older:
        older.setattr("pi_system.secure.kept.PROTOCOL_VERSION", 1)
        store = filled(tmp_path)
    store.take(ID)
    with pytest.raises(CorrelationMismatchError, match=r"expected protocol version \d+, found 1"):
        store.load(ID, LAYOUT)
    assert not list(tmp_path.rglob("*.ready"))


def test_material_of_another_epoch_is_refused(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.epoch = "c" * 32
    store.take(ID)
    with pytest.raises(CorrelationMismatchError, match="expected the same epoch"):
        store.load(ID, LAYOUT)


def test_a_used_bundle_that_was_put_back_is_refused(tmp_path: Path) -> None:
    store = filled(tmp_path)
    content = path_of(tmp_path).read_bytes()
    store.take(ID)
    store.load(ID, LAYOUT)
    store._path(ID).write_bytes(content)
    with pytest.raises(CorrelationReusedError):
        store.take(ID)
    assert store.ids() == []


def test_a_file_of_material_that_was_put_back_is_refused_whatever_the_index_says(tmp_path: Path) -> None:
    """The index may be put back, too, or be what sqlite makes of an old and a new file beside each other."""
    store = filled(tmp_path)
    content = path_of(tmp_path).read_bytes()
    store.take(ID)
    store.load(ID, LAYOUT)
    store._path(ID).write_bytes(content)
    with store.index._file.change() as db:
        db.execute("UPDATE material SET state = 'prepared'")
    assert store.take_next(1) == (ID,)
    with pytest.raises(CorrelationMismatchError, match="found a copy"):
        store.load(ID, LAYOUT)
    assert not list(tmp_path.rglob("*.ready"))


def test_an_id_that_was_used_is_never_new_again(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.take(ID)
    with pytest.raises(CorrelationReusedError, match="expected a new id"):
        put(store, ID, LAYOUT)


def test_material_that_is_burned_under_a_session_is_a_typed_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = filled(tmp_path)
    store.take(ID)
    assert store.burn() == 0
    with pytest.raises(CorrelationMismatchError, match="burned after it was taken"):
        store.load(ID, LAYOUT)

    def burned(source: Any, target: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(os, "link", burned)
    with pytest.raises(CorrelationMismatchError, match="burned while it was written"):
        put(store, f"{9:032x}", LAYOUT)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "ABCD", "0" * 33])
def test_ids_from_a_peer_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    store = filled(tmp_path)
    with pytest.raises(CorrelationMismatchError, match="32 hexadecimal"):
        store.take(name)


def test_the_store_is_bounded(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.check_room(1000)
    with pytest.raises(LimitError, match="expected at most"):
        store.check_room(1 << 20)


def _take(root: Path, results: Any) -> None:
    try:
        open_store(root).take(ID)
        results.put("taken")
    except CorrelationReusedError:
        results.put("refused")


def test_of_two_processes_one_gets_it(tmp_path: Path) -> None:
    filled(tmp_path)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_take, args=(tmp_path, results)) for _ in range(2)]
    for process in processes:
        process.start()
    found = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert found == ["refused", "taken"]
