"""pi-dealer, pi-server and pi-client as processes, with the real backends: what a user does and sees."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from changed_artifact import runnable
from processes import ALL_BACKENDS, model_folder, pi_client, pi_server
from scaled_artifact import relu_artifact

from pi_system.artifact import load, save
from pi_system.errors import ConfigError
from pi_system.version import PROTOCOL_VERSION

BACKENDS = ["gmw", "gc", "fss", "crypten"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = model_folder(tmp_path_factory.mktemp("programs"), relu_artifact(0.1))
    (path / "c.png").write_text("this is not a picture")
    return path


@pytest.fixture(scope="module")
def server(folder: Path, tls_dealer: str, link_keys: Path) -> Iterator[Any]:
    options = ("--keys", f"{link_keys}/server", "--reveal", "logits", *ALL_BACKENDS, "--dealer", tls_dealer)
    with pi_server(folder / "model", folder / "server-store", *options) as running:
        yield running


@pytest.fixture
def client(folder: Path, server: Any, tls_dealer: str, link_keys: Path) -> Any:
    def run(*arguments: Any, **environment: Any) -> Any:
        addresses = {"PI_SERVER": server[1], "PI_DEALER": tls_dealer, "PI_KEYS": f"{link_keys}/client"}
        return pi_client(folder, *arguments, **(addresses | environment))

    return run


def result(completed: Any) -> Any:
    assert completed.returncode == 0, completed.stderr
    return json.loads(completed.stdout)


def test_backends_agree_on_logits_and_report_their_cost(client: Any) -> None:
    found = {
        name: result(client("infer", "a.png", "--json", "--store", f"store-{name}", "--backend", name))
        for name in BACKENDS
    }
    for data in found.values():
        assert data["prepared_now"]
        assert data["relus"] == 2 * 256
        assert data["online_ms"] > 0
        assert data["offline_bytes"] > 0
    logits = [np.array(data["predictions"][0]["logits"]) for data in found.values()]
    assert all(np.abs(logits[0] - other).max() < 0.1 for other in logits)
    assert found["fss"]["online_rounds"] < found["crypten"]["online_rounds"]
    assert found["fss"]["bytes_per_relu"] < found["crypten"]["bytes_per_relu"]


def test_a_table_is_made_where_few_bits_are_compared_and_refused_elsewhere(
    client: Any, link_keys: Path, tmp_path: Path
) -> None:
    refused = client("infer", "a.png", "--store", str(tmp_path / "none"), "--backend", "table")
    assert refused.returncode == ConfigError.exit_code
    assert "pi-train export --compare-bits 10" in refused.stderr
    few, options = runnable("table", relu_artifact(0.1)), ("--keys", f"{link_keys}/server", "--reveal", "logits")
    save(few, tmp_path / "model")
    with pi_server(tmp_path / "model", tmp_path / "store", *options, "--backend", "table") as (_, address):
        found = result(client("infer", "a.png", "--json", "--store", str(tmp_path / "own"), PI_SERVER=address))
    assert found["backend"] == "table"  # auto: the server offers nothing else
    assert (found["relus"], found["online_rounds"]) == (2 * 256, 3)  # the picture, then one round trip a layer


def test_prepared_material_is_used_by_later_runs_and_batches_share_rounds(client: Any) -> None:
    store = ("--store", "store-ahead")
    assert "2 ready" in client("prepare", "--count", "2", *store).stdout
    single = result(client("infer", "a.png", "--json", *store))
    assert not single["prepared_now"]
    assert single["offline_count"] == 2
    batch = result(client("infer", "a.png", "b.png", "--json", *store))
    assert batch["prepared_now"]  # one was left
    assert batch["offline_count"] == 1
    assert batch["online_rounds"] == single["online_rounds"]
    assert batch["predictions"][0]["class"] == single["predictions"][0]["class"]


def test_what_was_prepared_is_what_auto_uses_and_says(client: Any) -> None:
    store = ("--store", "store-auto")
    assert "backend " not in client("prepare", "--count", "2", "--backend", "gc", *store).stdout
    used = result(client("infer", "a.png", "--json", *store))
    assert (used["backend"], used["choice"]["prepared"], used["prepared_now"]) == ("gc", {"gc": 2}, False)
    more = client("prepare", "--count", "2", *store, PI_DEALER="127.0.0.1:9").stdout
    assert more.startswith("backend gc: 1 prepared; predicted online ")
    assert "with a dealer fss" in more
    assert "; dealer 127.0.0.1:9 does not answer" in more
    assert "backend  gc: 2 prepared\n" in client("infer", "a.png", *store).stdout


def test_auto_takes_a_dealer_only_where_it_is_named(client: Any) -> None:
    alone = result(client("infer", "a.png", "--json", "--store", "store-alone", PI_DEALER=""))
    assert alone["backend"] in {"gmw", "gc"}
    assert set(alone["choice"]["predicted"]) == {"gmw", "gc"}
    assert set(alone["choice"]["with_dealer"]) == {"fss"}
    trusting = result(client("infer", "a.png", "--json", "--store", "store-trusting", "--objective", "total"))
    assert set(trusting["choice"]["predicted"]) == {"gmw", "gc", "fss"}
    assert trusting["backend"] == "fss"  # dealt keys take no homomorphic encryption, whatever the link
    assert result(client("infer", "a.png", "--json", "--store", "store-alone", "--backend", "gmw"))["choice"] is None


def test_label_only(client: Any) -> None:
    store = ("--store", "store-label", "--artifact", "model")
    logits = result(client("infer", "a.png", "b.png", "--json", *store))["predictions"]
    labels = result(client("infer", "a.png", "b.png", "--json", "--reveal", "label", *store))["predictions"]
    assert [p["class"] for p in labels] == [p["class"] for p in logits]
    assert {p["logits"] for p in labels} == {None}


def test_scores_are_logits_in_steps(client: Any) -> None:
    store = ("--store", "store-scores", "--artifact", "model")
    scores = result(client("infer", "a.png", "--json", "--reveal", "scores", *store))
    logits = result(client("infer", "a.png", "--json", *store))
    steps = np.array(scores["predictions"][0]["logits"]) / scores["score_step"]
    assert (steps == np.rint(steps)).all()
    difference = steps * scores["score_step"] - logits["predictions"][0]["logits"]
    assert np.abs(difference).max() <= scores["score_step"] / 2 + 0.01
    assert (scores["reveal"], logits["reveal"], logits["score_step"]) == ("scores", "logits", None)
    assert "reveals  scores, logits in steps of 2^" in client("infer", "a.png", "--reveal", "scores", *store).stdout


def test_the_first_classes_where_they_are_revealed(client: Any) -> None:
    store = ("--store", "store-top", "--artifact", "model")
    (prediction,) = result(client("infer", "a.png", "--json", "--top-k", "3", *store))["predictions"]
    assert [one["logit"] for one in prediction["top"]] == sorted(prediction["logits"], reverse=True)[:3]
    assert prediction["top"][0]["label"] == prediction["label"]
    assert len(client("infer", "a.png", "--top-k", "2", *store).stdout.splitlines()) == 8
    refused = client("infer", "a.png", "--top-k", "2", "--reveal", "label", *store)
    assert (refused.returncode, refused.stdout) == (12, "")
    assert "found 2 of a label" in refused.stderr


def test_a_folder_and_a_pattern_are_the_pictures_in_them(client: Any, tmp_path: Path, folder: Path) -> None:
    for name in ("b", "a"):
        shutil.copy(folder / f"{name}.png", tmp_path / f"{name}.png")
    store = ("--store", "store-folder")
    for given in (str(tmp_path), f"{tmp_path}/*.png"):
        found = result(client("infer", given, "--json", *store))
        assert [one["path"] for one in found["predictions"]] == [f"{tmp_path}/a.png", f"{tmp_path}/b.png"]


def test_status_says_what_is_served_prepared_and_valid(client: Any, folder: Path) -> None:
    store = ("--store", "store-status")
    empty = client("status", *store)
    assert (empty.returncode, empty.stderr) == (0, "")
    assert "prepared     nothing for this model" in empty.stdout
    assert client("prepare", "--count", "2", "--backend", "gmw", *store).returncode == 0
    assert client("prepare", "--count", "1", "--backend", "gmw", "--reveal", "label", *store).returncode == 0
    found = result(client("status", "--json", *store))
    assert found["artifact_digest"] == load(folder / "model").public.digest
    assert found["backends"] == ["gmw", "gc", "fss", "crypten"]
    assert (found["reveal"], found["protocol"]) == ("logits", PROTOCOL_VERSION)
    assert [(one["backend"], one["reveal"], one["count"]) for one in found["prepared"]] == [
        ("gmw", "label", 1),
        ("gmw", "logits", 2),
    ]
    assert 0 < found["certificate_days"] <= 825
    lines = client("status", *store).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [
        *("server", "model", "backends", "reveals"),
        *("prepared", "prepared", "certificate"),
    ]
    assert lines[5] == f"prepared     gmw, logits: 2 inferences, {found['prepared'][1]['bytes']:,} bytes"
    assert client("status", *store, "--timeout", "0.2", PI_SERVER="127.0.0.1:9").returncode == 51


def test_material_is_prepared_for_what_is_revealed(client: Any) -> None:
    store = ("--store", "store-reveal")
    assert client("prepare", "--count", "1", "--reveal", "label", *store).returncode == 0
    assert result(client("infer", "a.png", "--json", *store))["prepared_now"]
    assert not result(client("infer", "a.png", "--json", "--reveal", "label", *store))["prepared_now"]


def test_people_read_lines(client: Any) -> None:
    completed = client("infer", "a.png", "--store", "store-lines")
    assert completed.returncode == 0
    assert completed.stderr == ""
    assert [line.split()[0] for line in completed.stdout.splitlines()] == [
        "a.png:",
        "online",
        "per",
        "offline",
        "reveals",
        "backend",
        "model",
    ]
    assert "reveals  logits" in completed.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        pytest.param(["c.png"], {}, 11, id="not a picture"),
        pytest.param(["missing.png"], {}, 11, id="no file"),
        pytest.param(["a.png", "--digest", "00ff"], {}, 23, id="digest"),
        pytest.param(["a.png", "--insecure-provider", "--backend", "crypten"], {}, 10, id="insecure provider"),
        pytest.param(["a.png", "--backend", "fss"], {"PI_DEALER": "127.0.0.1:9"}, 54, id="no dealer"),
        pytest.param(["a.png"], {"PI_SERVER": "127.0.0.1:9"}, 51, id="no server"),
    ],
)
def test_errors_are_one_line_and_a_code(
    client: Any, arguments: list[str], environment: dict[str, Any], code: int
) -> None:
    completed = client("infer", *arguments, "--store", "store-errors", "--connect-timeout", "2", **environment)
    assert completed.returncode == code
    assert completed.stdout == ""
    assert completed.stderr.startswith("error: ")
    assert completed.stderr.count("\n") == 1


def test_other_artifact_is_refused(client: Any, folder: Path) -> None:
    save(relu_artifact(0.2), folder / "other")
    assert client("infer", "a.png", "--artifact", "other", "--store", "store-errors").returncode == 23


def test_ping_answers(client: Any) -> None:
    completed = client("ping")
    assert completed.returncode == 0
    assert "backends gmw,gc,fss" in completed.stdout
    assert "reveals logits" in completed.stdout
