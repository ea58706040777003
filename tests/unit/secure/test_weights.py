"""What is kept once a model: damaged or half-written files are made or fetched again, never used."""

import logging
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracle import assert_within_ulps
from parties import prepared, secure_logits
from scaled_artifact import relu_artifact

from pi_system.backends.fss.weights import weight_seed
from pi_system.export.random import random_pictures
from pi_system.secure import kept
from pi_system.secure.kept import HEADER_BYTES
from pi_system.secure.weight_folder import WeightFolder

ARTIFACT = relu_artifact(weight_scale=0.3)
PICTURE = random_pictures((1, 8, 8), 1, 0)


def check_logits(backend: str, store: Path) -> None:
    logits, _, _ = secure_logits(backend, ARTIFACT, PICTURE, store)
    assert_within_ulps(ARTIFACT, PICTURE, logits)


def flip(path: Any, *positions: Any) -> None:
    content = bytearray(path.read_bytes())
    for position in positions:
        content[position] ^= 0x40
    path.write_bytes(content)


def test_seed_is_made_once_and_is_private(tmp_path: Path) -> None:
    seed = weight_seed(tmp_path / "model")
    assert len(seed) == 16
    assert weight_seed(tmp_path / "model") == seed
    assert weight_seed(tmp_path / "other") != seed
    assert (tmp_path / "model" / "weight_seed").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"sixteen bytes..."])
def test_a_seed_that_a_crash_left_empty_is_drawn_again(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "weight_seed").write_bytes(content)
    seed = weight_seed(tmp_path)
    assert len(seed) == 16
    assert weight_seed(tmp_path) == seed
    assert "drawn again" in caplog.text
    assert seed.hex() not in caplog.text


def test_sessions_that_start_at_once_get_one_seed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for attempt in range(5):
        start = threading.Barrier(4)

        def draw(folder: Path, start: Any = start) -> bytes:
            start.wait()
            return weight_seed(folder)

        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(draw, [tmp_path / str(attempt)] * 4))) == 1
    assert caplog.text == ""


def test_damaged_masked_weights_are_fetched_again(tmp_path: Path) -> None:
    check_logits("fss", tmp_path)
    (path,) = (tmp_path / "client").glob("*/weights-*")
    whole = path.read_bytes()
    flip(path, -100, -200, -300)
    check_logits("fss", tmp_path)
    assert path.read_bytes() == whole


def test_damaged_transformed_weights_are_made_again(tmp_path: Path) -> None:
    check_logits("gmw", tmp_path)
    paths = sorted((tmp_path / "server").rglob("*.words"))
    whole = [path.read_bytes() for path in paths]
    for path in paths:
        flip(path, *range(HEADER_BYTES + 100, HEADER_BYTES + 164))
    check_logits("gmw", tmp_path)
    assert [path.read_bytes() for path in paths] == whole


@pytest.mark.parametrize(("backend", "pattern"), [("fss", "weights-*"), ("fss", "weight_seed"), ("gmw", "*.words")])
def test_caches_of_another_protocol_version_are_made_again(
    backend: str, pattern: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as older:
        older.setattr("pi_system.secure.kept.PROTOCOL_VERSION", 1)
        check_logits(backend, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob(pattern)}
    assert before
    check_logits(backend, tmp_path)
    after = {path: path.read_bytes() for path in tmp_path.rglob(pattern)}
    assert set(after.items()) - set(before.items())


WORDS = np.arange(100, dtype=np.uint64)


def test_arrays_come_back_and_are_private(tmp_path: Path) -> None:
    folder = WeightFolder(tmp_path / "transformed")
    assert folder.get("0-0-0") is None
    assert (folder.put("0-0-0", WORDS) == WORDS).all()
    assert (WeightFolder(tmp_path / "transformed").get("0-0-0") == WORDS).all()  # type: ignore[union-attr]
    (path,) = (tmp_path / "transformed").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_one_changed_byte_counts_as_missing_and_the_array_is_made_again(tmp_path: Path) -> None:
    folder = WeightFolder(tmp_path)
    folder.put("a", WORDS)
    content = bytearray((tmp_path / "a.words").read_bytes())
    for position in (0, 50, 4095, 4096, len(content) - 1):
        damaged = bytearray(content)
        damaged[position] ^= 1
        (tmp_path / "a.words").write_bytes(damaged)
        assert WeightFolder(tmp_path).get("a") is None
    (tmp_path / "a.words").write_bytes(content)
    (tmp_path / "b.words").write_bytes(content)
    assert folder.get("b") is None  # whole, but another array
    assert (folder.put("a", WORDS) == WORDS).all()


def test_what_is_put_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed, form = [], kept._FORM

    def digest(text: bytes) -> Any:
        hashed.append(text)
        return form.digest(text)

    monkeypatch.setattr(kept, "_FORM", form._replace(digest=digest))
    assert (WeightFolder(tmp_path).put("a", WORDS) == WORDS).all()
    assert len(hashed) == 1


@pytest.mark.parametrize("content", [b"", b"garbage", b"PIKEPT\x00\x02", bytes(4096), bytes(5000)])
def test_a_damaged_file_counts_as_missing(tmp_path: Path, content: bytes) -> None:
    folder = WeightFolder(tmp_path)
    (tmp_path / "a.words").write_bytes(content)
    assert folder.get("a") is None


def test_transformed_weights_of_other_versions_are_deleted(tmp_path: Path) -> None:
    for name in ("transformed", "transformed-7"):
        WeightFolder(tmp_path / name).put("a", WORDS)
    (tmp_path / "weights-1").mkdir()
    WeightFolder.of_model(tmp_path).put("b", WORDS)
    folder = WeightFolder.of_model(tmp_path)
    assert folder.names() == {"b"}
    assert len(list(tmp_path.iterdir())) == 2


def test_a_second_session_takes_the_weights_that_the_first_transformed(tmp_path: Path) -> None:
    for _ in range(2):
        check_logits("gmw", tmp_path)
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.words")}
    prepared("gmw", ARTIFACT, tmp_path, 1)
    assert times == {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.words")}
    assert times
