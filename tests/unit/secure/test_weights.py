"""What is kept once a model: damaged or half-written files are made or fetched again, never used."""

import logging
import threading

import pytest
from oracle import assert_within_ulps
from parties import secure_logits
from scaled_artifact import relu_artifact

from pi_system.backends.fss.weights import weight_seed
from pi_system.export.random import random_pictures
from pi_system.secure.kept import HEADER_BYTES

ARTIFACT = relu_artifact(weight_scale=0.3)
PICTURE = random_pictures((1, 8, 8), 1, 0)


def check_logits(backend, store):
    logits, _, _ = secure_logits(backend, ARTIFACT, PICTURE, store)
    assert_within_ulps(ARTIFACT, PICTURE, logits)


def flip(path, *positions):
    content = bytearray(path.read_bytes())
    for position in positions:
        content[position] ^= 0x40
    path.write_bytes(content)


def test_seed_is_made_once_and_is_private(tmp_path):
    seed = weight_seed(tmp_path / "model")
    assert len(seed) == 16
    assert weight_seed(tmp_path / "model") == seed
    assert weight_seed(tmp_path / "other") != seed
    assert (tmp_path / "model" / "weight_seed").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"sixteen bytes..."])
def test_a_seed_that_a_crash_left_empty_is_drawn_again(content, tmp_path, caplog):
    (tmp_path / "weight_seed").write_bytes(content)
    seed = weight_seed(tmp_path)
    assert len(seed) == 16
    assert weight_seed(tmp_path) == seed
    assert "drawn again" in caplog.text
    assert seed.hex() not in caplog.text


def test_sessions_that_start_at_once_get_one_seed(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    for attempt in range(5):
        seeds, start = [], threading.Barrier(4)

        def draw(folder=tmp_path / str(attempt), seeds=seeds, start=start):
            start.wait()
            seeds.append(weight_seed(folder))

        threads = [threading.Thread(target=draw) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seeds) == 4
        assert len(set(seeds)) == 1
    assert caplog.text == ""


def test_damaged_masked_weights_are_fetched_again(tmp_path):
    check_logits("fss", tmp_path)
    (path,) = (tmp_path / "client").glob("*/weights-*")
    whole = path.read_bytes()
    flip(path, -100, -200, -300)
    check_logits("fss", tmp_path)
    assert path.read_bytes() == whole


def test_damaged_transformed_weights_are_made_again(tmp_path):
    check_logits("gmw", tmp_path)
    paths = sorted((tmp_path / "server").rglob("*.words"))
    whole = [path.read_bytes() for path in paths]
    for path in paths:
        flip(path, *range(HEADER_BYTES + 100, HEADER_BYTES + 164))
    check_logits("gmw", tmp_path)
    assert [path.read_bytes() for path in paths] == whole


@pytest.mark.parametrize(("backend", "pattern"), [("fss", "weights-*"), ("fss", "weight_seed"), ("gmw", "*.words")])
def test_caches_of_another_protocol_version_are_made_again(backend, pattern, monkeypatch, tmp_path):
    with monkeypatch.context() as older:
        older.setattr("pi_system.secure.kept.PROTOCOL_VERSION", 1)
        check_logits(backend, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob(pattern)}
    assert before
    check_logits(backend, tmp_path)
    after = {path: path.read_bytes() for path in tmp_path.rglob(pattern)}
    assert set(after.items()) - set(before.items())
