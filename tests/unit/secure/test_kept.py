import hashlib
import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pi_system.errors import CorrelationMismatchError
from pi_system.secure import kept
from pi_system.secure.kept import HEADER_BYTES, check_kept, create_kept, read_kept, write_kept
from pi_system.version import PROTOCOL_VERSION

FIELDS = {"what": "a test", "of": "ab"}
BODY = bytes(range(200))


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    write_kept(tmp_path / "a", {**FIELDS, "more": 7}, BODY)
    fields, body = read_kept(tmp_path / "a", FIELDS)
    assert body == BODY
    assert fields == {**FIELDS, "more": 7, "protocol": PROTOCOL_VERSION}
    assert check_kept(tmp_path / "a", FIELDS) == fields
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a").stat().st_size == HEADER_BYTES + len(BODY)


@pytest.mark.parametrize("read", [read_kept, check_kept])
def test_every_changed_byte_and_every_cut_is_noticed(read: Callable[..., Any], tmp_path: Path) -> None:
    write_kept(tmp_path / "a", FIELDS, BODY)
    content = (tmp_path / "a").read_bytes()
    for position in (*range(0, HEADER_BYTES, 37), *range(HEADER_BYTES, len(content))):
        damaged = bytearray(content)
        damaged[position] ^= 0x40
        (tmp_path / "a").write_bytes(damaged)
        with pytest.raises(CorrelationMismatchError, match="damaged"):
            read(tmp_path / "a", FIELDS)
    for size in (0, 1, 44, 100, HEADER_BYTES, HEADER_BYTES + 1, len(content) - 1):
        (tmp_path / "a").write_bytes(content[:size])
        with pytest.raises(CorrelationMismatchError):
            read(tmp_path / "a", FIELDS)
    (tmp_path / "a").write_bytes(content + b"\0")
    with pytest.raises(CorrelationMismatchError):
        read(tmp_path / "a", FIELDS)


def test_another_version_is_named_and_others_fields_are_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_kept(tmp_path / "a", FIELDS, BODY)
    with pytest.raises(CorrelationMismatchError, match="expected the same of, found another") as caught:
        read_kept(tmp_path / "a", {**FIELDS, "of": "secret"})
    assert "secret" not in str(caught.value)
    assert "ab" not in str(caught.value)
    monkeypatch.setattr(kept, "PROTOCOL_VERSION", PROTOCOL_VERSION + 1)
    with pytest.raises(
        CorrelationMismatchError, match=f"expected protocol version {PROTOCOL_VERSION + 1}, found {PROTOCOL_VERSION}"
    ):
        read_kept(tmp_path / "a", FIELDS)


@pytest.mark.parametrize("text", [b"[]", b"7", b"null", b"{", b"\xff", b"[" * 4000])
@pytest.mark.parametrize("form", [kept._FORM, kept._BEFORE])
def test_a_header_that_is_no_object_is_damaged_though_its_digest_fits(form: Any, text: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(form.header(text, BODY) + BODY)
    with pytest.raises(CorrelationMismatchError, match="damaged"):
        read_kept(tmp_path / "a", FIELDS)


def test_a_file_of_another_magic_is_refused_before_its_body_is_read(tmp_path: Path) -> None:
    with pytest.raises(CorrelationMismatchError, match="damaged"):
        kept.check_header("a", bytes(HEADER_BYTES), FIELDS, object())  # type: ignore[arg-type]


def test_of_two_that_create_one_does(tmp_path: Path) -> None:
    create_kept(tmp_path / "a", FIELDS, BODY)
    with pytest.raises(FileExistsError):
        create_kept(tmp_path / "a", FIELDS, b"other")
    assert read_kept(tmp_path / "a", FIELDS)[1] == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read a page at a time."""
    monkeypatch.setattr(kept, "_WINDOW", HEADER_BYTES)


@pytest.mark.usefixtures("windows")
def test_damage_in_any_window_is_noticed(tmp_path: Path) -> None:
    write_kept(tmp_path / "a", FIELDS, BODY * 100)
    content = (tmp_path / "a").read_bytes()
    assert len(content) > 5 * HEADER_BYTES
    check_kept(tmp_path / "a", FIELDS)
    for position in (*range(HEADER_BYTES, len(content), HEADER_BYTES), len(content) - 1):
        damaged = bytearray(content)
        damaged[position] ^= 1
        (tmp_path / "a").write_bytes(damaged)
        with pytest.raises(CorrelationMismatchError, match="damaged"):
            check_kept(tmp_path / "a", FIELDS)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("left", [HEADER_BYTES, 2 * HEADER_BYTES + 1])
def test_a_file_that_is_cut_while_it_is_read_ends_no_process(left: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(5 * HEADER_BYTES))
    with (tmp_path / "a").open("r+b") as file:
        windows = kept._windows(file.fileno())
        next(windows)
        file.truncate(left)
        with pytest.raises(OSError, match=r"cut short|Input/output"):
            list(windows)


def test_what_a_disk_cannot_give_is_an_error(tmp_path: Path) -> None:
    """A page behind the end stands for it: touching either is SIGBUS."""
    (tmp_path / "a").write_bytes(bytes(2 * HEADER_BYTES))
    with (tmp_path / "a").open("r+b") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        kept._populate(mapping)
        file.truncate(HEADER_BYTES)
        with pytest.raises(OSError, match="Input/output"):
            kept._populate(mapping)


def test_files_of_the_form_before_are_read_and_as_well_checked(tmp_path: Path) -> None:
    """Bytes as the version before wrote them."""
    text = json.dumps({"protocol": PROTOCOL_VERSION, **FIELDS}, sort_keys=True).encode()
    prefix = b"PIKEPT\0\2" + hashlib.sha256(text + BODY).digest() + len(text).to_bytes(4, "little")
    content = (prefix + text).ljust(HEADER_BYTES, b"\0") + BODY
    (tmp_path / "a").write_bytes(content)
    assert read_kept(tmp_path / "a", FIELDS)[1] == BODY
    assert check_kept(tmp_path / "a", FIELDS)["of"] == "ab"
    for position in (7, 8, 39, 40, 60, len(prefix + text), HEADER_BYTES, len(content) - 1):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        (tmp_path / "a").write_bytes(damaged)
        for read in (read_kept, check_kept):
            with pytest.raises(CorrelationMismatchError, match="damaged"):
                read(tmp_path / "a", FIELDS)
