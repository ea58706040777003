import stat

import numpy as np
import pytest
from oracle import assert_within_ulps
from parties import prepared, secure_logits
from scaled_artifact import relu_artifact

from pi_system.export.random import random_pictures
from pi_system.secure.weight_folder import WeightFolder

WORDS = np.arange(100, dtype=np.uint64)


def test_arrays_come_back_and_are_private(tmp_path):
    folder = WeightFolder(tmp_path / "transformed")
    assert folder.get("0-0-0") is None
    assert (folder.put("0-0-0", WORDS) == WORDS).all()
    assert (WeightFolder(tmp_path / "transformed").get("0-0-0") == WORDS).all()
    (path,) = (tmp_path / "transformed").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_one_changed_byte_counts_as_missing_and_the_array_is_made_again(tmp_path):
    folder = WeightFolder(tmp_path)
    folder.put("a", WORDS)
    content = bytearray((tmp_path / "a.words").read_bytes())
    for position in (0, 50, 4095, 4096, len(content) - 1):
        damaged = bytearray(content)
        damaged[position] ^= 1
        (tmp_path / "a.words").write_bytes(damaged)
        assert folder.get("a") is None
    (tmp_path / "a.words").write_bytes(content)
    (tmp_path / "b.words").write_bytes(content)
    assert folder.get("b") is None  # whole, but another array
    assert (folder.put("a", WORDS) == WORDS).all()


@pytest.mark.parametrize("content", [b"", b"garbage", b"PIKEPT\x00\x02", bytes(4096), bytes(5000)])
def test_a_damaged_file_counts_as_missing(tmp_path, content):
    folder = WeightFolder(tmp_path)
    (tmp_path / "a.words").write_bytes(content)
    assert folder.get("a") is None


def test_a_second_session_takes_the_weights_that_the_first_transformed(tmp_path):
    artifact, picture = relu_artifact(weight_scale=0.3), random_pictures((1, 8, 8), 1, 0)
    for _ in range(2):
        logits, _, _ = secure_logits("gmw", artifact, picture, tmp_path)
        assert_within_ulps(artifact, picture, logits)
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.words")}
    prepared("gmw", artifact, tmp_path, 1)
    assert times == {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.words")}
    assert times
