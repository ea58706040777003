"""Cards of built-in networks: one that is damaged is an error that names the field; drafts are no networks."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pi_system.errors import InputError
from pi_system.networks import artifact_folder, builtin, builtin_names, read_card


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the only network there is."""
    (tmp_path / "cifar10").mkdir()
    shutil.copy(artifact_folder("cifar10") / "card.json", tmp_path / "cifar10")
    monkeypatch.setattr(builtin, "_HERE", tmp_path)
    return tmp_path / "cifar10" / "card.json"


def _with(**changes: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(json.loads(content) | changes).encode()


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda _: b"\xff\xfe{}", "file"),
        (lambda content: content[:100], "file"),
        (_with(test_accuracy=86.24), "test_accuracy"),
        (_with(relus=-1), "relus"),
        (_with(private_agreement=None), "private_agreement"),
        (_with(costs=[{"backend": "gmw"}]), r"costs\.0\.link"),
        (_with(name="other"), "the card of cifar10, found that of 'other'"),
    ],
)
def test_a_damaged_card_is_an_error_that_says_where(card: Path, damage: Callable[[bytes], bytes], named: str) -> None:
    assert read_card("cifar10").name == "cifar10"
    card.write_bytes(damage(card.read_bytes()))
    with pytest.raises(InputError, match=f"card.json: expected .*{named}") as caught:
        read_card("cifar10")
    assert "\n" not in str(caught.value)


def test_what_is_being_shipped_is_no_network_yet(card: Path) -> None:
    shutil.copytree(card.parent, card.parent.with_name(".cifar10.new"))
    assert builtin_names() == ("cifar10",)
