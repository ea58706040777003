"""Shipping a network writes its own folder alone, and leaves nothing half done there."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pi_system.errors import ConfigError, InexactError

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "ship_network.py"


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, for networks in ``tmp_path / "networks"``, where there is one."""
    spec = importlib.util.spec_from_file_location("ship_network", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "_NETWORKS", tmp_path / "networks")
    (tmp_path / "networks" / "old").mkdir(parents=True)
    (tmp_path / "networks" / "old" / "card.json").write_text("{}")
    return module


@pytest.mark.parametrize("name", ["", ".", "..", "../..", "a/b", "/tmp", "-", "a--b", "A", "a\n"])
def test_only_a_plain_name_is_written_to(ship: Any, name: str) -> None:
    with pytest.raises(ConfigError, match="name: expected letters a to z"), ship._drafted(name):
        pass
    assert [path.name for path in ship._NETWORKS.iterdir()] == ["old"]


def test_what_fails_leaves_the_network_that_was_there_and_no_draft(ship: Any) -> None:
    def fail() -> None:
        with ship._drafted("old") as draft:
            draft.mkdir()
            raise InexactError("not exact")

    with pytest.raises(InexactError):
        fail()
    assert [path.name for path in ship._NETWORKS.iterdir()] == ["old"]
    with ship._drafted("old") as draft:
        draft.mkdir()
    assert [path.name for path in ship._NETWORKS.iterdir()] == ["old"]
    assert not (ship._NETWORKS / "old" / "card.json").exists()


ABOUT = {"git_dirty": False, "others_before": [], "others_during": [], "git_sha": "0" * 40}


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b"{",
        b"[]",
        b"{}",
        json.dumps({"environment": ABOUT, "results": [{}]}).encode(),
        json.dumps({"environment": ABOUT, "results": [{"network": "builtin:cifar10", "backend": 1}]}).encode(),
    ],
)
def test_costs_of_another_file_are_refused_in_a_line(ship: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "latency.json").write_bytes(content)
    found = CliRunner().invoke(ship.main, ["costs", "cifar10", str(tmp_path / "latency.json")])
    assert (found.exit_code, found.output.count("\n")) == (ConfigError.exit_code, 1)
    assert "expected the JSON of benchmarks/both_phases.py; " in found.output


def test_at_least_one_picture_is_judged_in_private(ship: Any) -> None:
    assert CliRunner().invoke(ship.main, ["judge", "cifar10", "cifar10:none", "--private", "0"]).exit_code == 2
