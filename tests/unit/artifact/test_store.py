import json
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_artifact import tiny_artifact

from pi_system.artifact import load, load_public, public_from_bytes, public_to_bytes, save
from pi_system.errors import ArtifactDigestError, ArtifactError, ArtifactVersionError

FILES = ("public.json", "masks.safetensors", "weights.safetensors", "private.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tiny_artifact(), tmp_path / "model")
    return tmp_path / "model"


def test_saved_artifact_loads_equal(folder: Path) -> None:
    expected, found = tiny_artifact(), load(folder)
    assert found.public == expected.public
    assert found.public.digest == expected.public.digest
    for mine, theirs in ((expected.masks, found.masks), (expected.weights, found.weights)):
        assert set(mine) == set(theirs)
        assert all(np.array_equal(mine[name], theirs[name]) for name in mine)


def test_secret_files_are_private_and_no_draft_is_left(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    for name in ("weights.safetensors", "private.json"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_an_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(path: Path, *_: object) -> None:
        if path.name == "card.json":
            raise KeyboardInterrupt

    monkeypatch.setattr("pi_system.artifact.store.write_file", stopped)
    with pytest.raises(KeyboardInterrupt):
        save(tiny_artifact(), tmp_path / "model", {"card.json": b"{}"})
    assert not list(tmp_path.iterdir())


def test_what_lies_beside_is_there_with_the_rest(tmp_path: Path) -> None:
    save(tiny_artifact(), tmp_path / "model", {"card.json": b"{}"})
    assert (tmp_path / "model" / "card.json").read_bytes() == b"{}"
    assert load(tmp_path / "model").public == tiny_artifact().public


def test_save_refuses_an_existing_folder(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist yet"):
        save(tiny_artifact(), folder)


def test_public_part_needs_no_secret_file(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    (folder / "private.json").unlink()
    assert load_public(folder).public.digest == tiny_artifact().public.digest


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped"])
def test_damaged_file_gives_a_typed_error(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[-3] ^= 1
        path.write_bytes(content)
    with pytest.raises(ArtifactError):
        load(folder)


def test_every_flipped_bit_of_the_public_part_is_seen() -> None:
    data = public_to_bytes(tiny_artifact())
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x04
        with pytest.raises(ArtifactError):
            public_from_bytes(bytes(changed))


def test_changed_public_value_is_a_digest_error(folder: Path) -> None:
    path = folder / "public.json"
    path.write_text(path.read_text().replace('"name":"tiny"', '"name":"tony"'))
    with pytest.raises(ArtifactDigestError, match=r"public\.json"):
        load(folder)


def test_other_weights_do_not_open_the_commitment(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactDigestError, match="weights"):
        load(folder)


def test_other_format_version_is_named(folder: Path) -> None:
    path = folder / "public.json"
    wrapper = json.loads(path.read_text())
    wrapper["public"]["format_version"] = 99
    path.write_text(json.dumps(wrapper))
    with pytest.raises(ArtifactVersionError, match="expected 1 or 2 or 3, found 99"):
        load(folder)


def test_invalid_json_value_is_one_line_naming_the_field(folder: Path) -> None:
    path = folder / "public.json"
    wrapper = json.loads(path.read_text())
    wrapper["public"]["ring"]["ring_bits"] = 4096
    path.write_text(json.dumps(wrapper))
    with pytest.raises(ArtifactError, match=r"ring\.ring_bits") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_wire_form_holds_no_weight_and_no_salt() -> None:
    artifact = tiny_artifact()
    data = public_to_bytes(artifact)
    assert artifact.salt not in data
    assert artifact.salt.hex().encode() not in data
    assert all(tensor.tobytes() not in data for tensor in artifact.weights.values())
    assert public_from_bytes(data).public == artifact.public


@pytest.mark.parametrize("length", [0, 5, 8, 15, 100, -1])
def test_cut_wire_form_is_refused(length: int) -> None:
    with pytest.raises(ArtifactError):
        public_from_bytes(public_to_bytes(tiny_artifact())[:length])


def test_longer_wire_form_and_huge_length_are_refused() -> None:
    data = public_to_bytes(tiny_artifact())
    with pytest.raises(ArtifactError, match="1 more bytes"):
        public_from_bytes(data + b"\0")
    with pytest.raises(ArtifactError, match="announced"):
        public_from_bytes(data[:8] + (1 << 62).to_bytes(8, "little") + data[16:])


def test_deeply_nested_json_is_refused() -> None:
    header = b"[" * 200_000
    data = b"PIARTFCT" + len(header).to_bytes(8, "little") + header + bytes(8)
    with pytest.raises(ArtifactError):
        public_from_bytes(data)


def test_reading_an_artifact_imports_no_torch() -> None:
    code = "import sys, pi_system.artifact, pi_system.program; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
