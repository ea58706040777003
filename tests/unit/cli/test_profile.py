"""pi-train profile on an exported artifact."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from scaled_artifact import relu_artifact

from pi_system.artifact.store import save
from pi_system.cli.train import main
from pi_system.cost import default_calibration
from pi_system.kernels.paths import chosen_paths


@pytest.fixture
def artifact(tmp_path: Path) -> str:
    save(relu_artifact(weight_scale=1.0), tmp_path / "model")
    return str(tmp_path / "model")


def test_the_table_has_a_row_a_layer_and_totals(artifact: Any) -> None:
    done = CliRunner().invoke(main, ["profile", artifact, "--backend", "gc", "--link", "wan"])
    assert done.exit_code == 0, done.output
    for text in ("conv1", "relu2", "logits", "gc over wan", "offline, one inference", "stored, client", "Prices:"):
        assert text in done.output
    assert "512" in done.output  # ReLUs


def test_json_has_the_same_numbers_and_the_machine(artifact: Any) -> None:
    done = CliRunner().invoke(main, ["profile", artifact, "--backend", "gmw", "--json"])
    found = json.loads(done.output)
    assert found["backend"] == "gmw"
    assert found["machine"]
    assert sum(row["up_bytes"] for row in found["layers"]) == found["client_to_server_bytes"]
    assert sum(row["relus"] for row in found["layers"]) == 512


def test_what_the_default_policy_costs_is_a_row_of_its_own(artifact: Any) -> None:
    done = CliRunner().invoke(main, ["profile", artifact, "--backend", "gmw", "--reveal", "label", "--json"])
    found = json.loads(done.output)
    assert found["reveal"] == "label"
    assert (found["layers"][-1]["name"], found["layers"][-1]["rounds"] > 0) == ("label", True)
    done = CliRunner().invoke(main, ["profile", artifact, "--backend", "crypten", "--reveal", "label"])
    assert done.exit_code == 10
    assert "only an inference that reveals logits is predicted" in done.output


@pytest.mark.parametrize(("link", "backend"), [("1,1", "gmw"), ("wan", "gc")])
def test_auto_is_the_least_online_over_the_link(artifact: Any, link: str, backend: str) -> None:
    done = CliRunner().invoke(main, ["profile", artifact, "--link", link, "--json"])
    assert json.loads(done.output)["backend"] == backend


def test_the_network_in_the_package_is_predicted_too() -> None:
    done = CliRunner().invoke(main, ["profile", "builtin:cifar10", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["link"] == "lan"
    done = CliRunner().invoke(main, ["profile", "builtin:no-such-network"])
    assert done.exit_code == 10
    assert "expected one of builtin:cifar10" in done.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"machine": None}, "machine: Input should be a valid string"),
        ({"prices": {"magic": 1.0}}, "expected kinds of work that this version has, found magic"),
        ({"prices": {"mac32": "fast"}}, "prices.mac32: "),
    ],
)
def test_a_file_that_is_no_calibration_ends_with_one_line(
    artifact: Any, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(default_calibration().model_dump(by_alias=True) | change))
    done = CliRunner().invoke(main, ["profile", artifact, "--calibration", str(bad)])
    assert done.exit_code == 10
    assert done.output.startswith("error: calibration bad.json")
    assert said in done.output
    assert done.output.count("\n") == 1


@pytest.mark.parametrize("same", [True, False])
def test_prices_of_other_kernels_are_said_to_be(artifact: Any, tmp_path: Path, same: bool) -> None:
    paths = chosen_paths() | ({} if same else {"conv_64": "abacus"})
    environment = {"date": "2031-02-03T04:05:06+00:00", "kernels": paths}
    prices = default_calibration().model_copy(update={"environment": environment, "machine": "a mill"})
    (tmp_path / "prices.json").write_text(prices.model_dump_json(by_alias=True))
    command = ["profile", artifact, "--calibration", str(tmp_path / "prices.json")]
    said = CliRunner().invoke(main, command).output
    assert "Prices: a mill, 2031-02-03\n" in said
    differing = {} if same else {"conv_64": chosen_paths()["conv_64"]}
    assert ("This machine's kernels are others" in said) is not same
    assert ("conv_64 abacus" in said) is False  # this machine's are told
    found = json.loads(CliRunner().invoke(main, [*command, "--json"]).output)
    assert found["machine"] == "a mill, 2031-02-03"
    assert found["kernels_that_differ"] == differing
