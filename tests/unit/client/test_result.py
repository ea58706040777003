from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_artifact import tiny_artifact

from pi_client.result import InferResult, check_top_k
from pi_client.store import ClientStore
from pi_system.errors import ConfigError, FixedPointRangeError, InputError, RevealError
from pi_system.rpc.phase_cost import OnlineCost, PreparationCost
from pi_system.rpc.session_config import SessionConfig
from pi_system.secure.kept import write_kept

PUBLIC = tiny_artifact().public
CONFIG = SessionConfig(backend="fss", artifact_digest=PUBLIC.digest, client_id=bytes(16), reveal="logits")
ONLINE = OnlineCost(
    ready_ms=1.0, online_ms=4.0, rounds=2, client_to_server_bytes=70, server_to_client_bytes=30, frame_bytes=24
)
OFFLINE = PreparationCost(count=3, offline_ms=20.0, offline_bytes=3000)


def result(**changes: Any) -> Any:
    fields: dict[str, Any] = {
        "model": PUBLIC,
        "config": CONFIG,
        "names": ("a.png", "b.png"),
        "outputs": np.array([[0.0, np.log(3.0)], [1000.0, -1000.0]]),
        "online": ONLINE,
        "offline": OFFLINE,
        "prepared_now": True,
        "asked": 2,
    }
    return InferResult(**(fields | changes))


def test_json_has_every_documented_key() -> None:
    data = result().as_json()
    assert (data["schema"], data["asked"]) == (1, 2)
    assert [(p["path"], p["class"], p["label"]) for p in data["predictions"]] == [
        ("a.png", 1, "yes"),
        ("b.png", 0, "no"),
    ]
    assert [p["score"] for p in data["predictions"]] == pytest.approx([0.75, 1.0])
    assert data["relus"] == 10  # five of each picture
    assert data["us_per_relu"] == 400.0
    assert data["bytes_per_relu"] == 10.0
    assert (data["ready_ms"], data["online_ms"], data["online_rounds"], data["frame_bytes"]) == (1.0, 4.0, 2, 24)
    assert data["online_bytes"] == {"client_to_server": 70, "server_to_client": 30}
    assert (data["offline_count"], data["offline_ms"], data["offline_bytes"]) == (3, 20.0, 3000)
    assert (data["artifact_digest"], data["backend"]) == (PUBLIC.digest, "fss")


def test_label_only_has_no_score_and_no_logits() -> None:
    config = SessionConfig(backend="fss", artifact_digest="", client_id=bytes(16), reveal="label")
    prediction = result(config=config, outputs=np.array([[1.0], [0.0]])).as_json()["predictions"][0]
    unsaid = dict.fromkeys(("score", "logits", "value", "output", "top"))
    expected = {"path": "a.png", "class": 1, "label": "yes", **unsaid}
    assert prediction == expected


@pytest.mark.parametrize("opened", [-1.0, -2.0, 2.0, 1e9])
def test_what_is_no_class_is_no_answer_and_spoils_no_other(opened: float) -> None:
    config = SessionConfig(backend="fss", artifact_digest="", client_id=bytes(16), reveal="label")
    found = result(config=config, outputs=np.array([[1.0], [opened]]))
    assert [one["class"] for one in found.as_json()["predictions"]] == [1, None]
    assert found.lines()[:2] == ["a.png: yes", "b.png: no class"]
    with pytest.raises(FixedPointRangeError, match=r"^b\.png: answer: expected a class"):
        found.check_answers()
    result(config=config, outputs=np.array([[1.0], [0.0]])).check_answers()


def test_one_output_is_a_value_with_a_name() -> None:
    preprocess = PUBLIC.preprocess.model_copy(update={"classes": ("price",)})
    found = result(
        model=PUBLIC.model_copy(update={"preprocess": preprocess}), outputs=np.array([[3.25], [-0.5]]), names=("a", "b")
    )
    assert found.lines()[:2] == ["a: price 3.25", "b: price -0.5"]
    prediction = found.as_json()["predictions"][1]
    assert (prediction["class"], prediction["label"], prediction["score"], prediction["output"]) == (None,) * 3 + (
        "price",
    )
    assert (prediction["value"], prediction["logits"]) == (-0.5, [-0.5])


def test_the_first_classes_are_named_most_likely_first() -> None:
    found = result(top_k=5)
    first, second = (prediction["top"] for prediction in found.as_json()["predictions"])
    assert [(one["class"], one["label"]) for one in first] == [(1, "yes"), (0, "no")]
    assert [one["score"] for one in first] == pytest.approx([0.75, 0.25])
    assert [one["logit"] for one in first] == [np.log(3.0), 0.0]
    assert [one["label"] for one in second] == ["no", "yes"]
    lines = [
        "a.png: yes  score 0.7500",
        "       no  score 0.2500",
        "b.png: no  score 1.0000",
        "       yes  score 0.0000",
    ]
    assert found.lines()[:4] == lines
    assert result(top_k=1).lines() == result().lines()


def test_of_a_label_one_class_is_named() -> None:
    config = SessionConfig(backend="fss", artifact_digest="", client_id=bytes(16), reveal="label")
    found = result(config=config, outputs=np.array([[1.0], [0.0]]), top_k=1)
    assert found.as_json()["predictions"][0]["top"] == [{"class": 1, "label": "yes", "score": None, "logit": None}]
    assert found.lines()[:2] == ["a.png: yes", "b.png: no"]
    check_top_k(1, PUBLIC, config)
    with pytest.raises(RevealError, match=r"expected 1, or scores .*found 2 of a label"):
        check_top_k(2, PUBLIC, config)


def test_one_output_has_no_first_classes() -> None:
    preprocess = PUBLIC.preprocess.model_copy(update={"classes": ("price",)})
    check_top_k(None, PUBLIC.model_copy(update={"preprocess": preprocess}), CONFIG)
    with pytest.raises(ConfigError, match="a network with classes"):
        check_top_k(2, PUBLIC.model_copy(update={"preprocess": preprocess}), CONFIG)


def test_scores_come_with_their_step() -> None:
    config = SessionConfig(backend="fss", artifact_digest="", client_id=bytes(16), reveal="scores")
    data = result(config=config).as_json()
    step_log2 = PUBLIC.ring.score_step(PUBLIC.graph.output)
    assert data["score_step"] == 2.0**step_log2
    assert data["predictions"][0]["logits"] is not None
    assert f"reveals  scores, logits in steps of 2^{step_log2}" in result(config=config).lines()
    assert result().as_json()["score_step"] is None


def test_lines_name_classes_and_costs() -> None:
    text = "\n".join(result().lines())
    assert "a.png: yes  score 0.7500" in text
    assert "4.0 ms, 2 rounds, 70 bytes to the server, 30 to the client" in text
    assert "400.000 us, 10.0 bytes (10 ReLUs)" in text
    assert "20.0 ms, 3,000 bytes for 3 inferences, prepared in this call" in text


def test_offline_phase_of_another_day() -> None:
    assert "prepared ahead" in "\n".join(result(prepared_now=False).lines())
    assert "not recorded" in "\n".join(result(offline=None, prepared_now=False).lines())


def test_store_keeps_identity_and_costs(tmp_path: Path) -> None:
    store = ClientStore(tmp_path / "store")
    identity = store.client_id()
    assert len(identity) == 16
    assert ClientStore(tmp_path / "store").client_id() == identity
    assert ClientStore(tmp_path / "other").client_id() != identity
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "store" / "client_id").stat().st_mode & 0o777 == 0o600
    assert store.noted_offline(CONFIG) is None
    store.note_offline(CONFIG, OFFLINE)
    assert store.noted_offline(CONFIG) == OFFLINE


def test_damaged_store_is_an_input_error(tmp_path: Path) -> None:
    store = ClientStore(tmp_path)
    for content in (b"", b"short", bytes(16)):
        (tmp_path / "client_id").write_bytes(content)
        with pytest.raises(InputError, match="delete it to get a new identity"):
            store.client_id()
    (tmp_path / "client_id").unlink()
    write_kept(tmp_path / "client_id", {"what": "client id", "protocol": "any"}, b"short")
    with pytest.raises(InputError, match="expected 16 bytes"):
        store.client_id()
    store.note_offline(CONFIG, OFFLINE)
    (path,) = tmp_path.glob("offline-*")
    path.write_bytes(path.read_bytes().replace(b'"count": 3', b'"count": 4'))
    assert store.noted_offline(CONFIG) is None
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be made"):
        ClientStore(tmp_path / "file" / "store")
