"""The protocol over REST, before a private server that is an object."""

import json
import struct
import threading
from typing import Any

import numpy as np
import pytest
from gateways import (
    INFER,
    NAME,
    VERSION,
    FakePrivate,
    down,
    gateway_of,
    picture_request,
    pixels_request,
    png,
    rest_of,
    with_preprocess,
)

from pi_client.gateway import known
from pi_client.gateway.contents import from_raw
from pi_system.errors import BusyError, ConfigError, InputError, PeerTimeoutError, PeerUnavailableError, PiError

DARK = np.zeros((1, 1, 2, 2), np.uint8)
LIGHT = np.full((1, 1, 2, 2), 255, np.uint8)


def ask(private: FakePrivate, body: Any, path: str = INFER) -> Any:
    response = rest_of(gateway_of(private)).post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def outputs(answer: Any) -> dict[str, Any]:
    return {one["name"]: one["data"] for one in answer["outputs"]}


def test_health_and_metadata_are_as_specified() -> None:
    rest = rest_of(gateway_of(FakePrivate()))
    assert rest.get("/v2/health/live").json() == {"live": True}
    assert rest.get("/v2/health/ready").json() == {"ready": True}
    assert rest.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert rest.get(f"/v2/models/{NAME}/ready").json() == {"name": NAME, "ready": True}
    found = rest.get(f"/v2/models/{NAME}/versions/{VERSION}").json()
    assert (found["name"], found["versions"], found["platform"]) == (NAME, [VERSION], "pi_system_gmw")
    assert found["inputs"] == [
        {"name": "picture", "datatype": "BYTES", "shape": [-1]},
        {"name": "pixels", "datatype": "UINT8", "shape": [-1, 1, 2, 2]},
        {"name": "tensor", "datatype": "FP32", "shape": [-1, 1, 2, 2]},
    ]
    assert [one["name"] for one in found["outputs"]] == ["label", "class", "scores", "logits"]


def test_a_private_server_that_is_away_is_told_by_readiness_and_not_by_liveness() -> None:
    rest = rest_of(gateway_of(FakePrivate(), check=down))
    assert rest.get("/v2/health/live").status_code == 200
    for path in ("/v2/health/ready", f"/v2/models/{NAME}/ready"):
        response = rest.get(path)
        assert (response.status_code, response.json()["ready"]) == (503, False)


def test_pictures_pixels_and_tensors_are_the_same_input() -> None:
    private = FakePrivate()
    ask(private, picture_request(255))
    ask(private, pixels_request(LIGHT))
    # (1 - mean) / std of the artifact
    tensor = {"name": "tensor", "datatype": "FP32", "shape": [1, 1, 2, 2], "data": [2.0] * 4}
    answer = ask(private, {"id": "7", "inputs": [tensor]})
    assert [seen.tolist() for seen in private.seen] == [np.full((1, 1, 2, 2), 2.0).tolist()] * 3
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("7", NAME, VERSION)
    assert outputs(answer)["label"] == ["no"]
    assert outputs(answer)["class"] == [0]
    assert outputs(answer)["logits"] == [8.0, -8.0]
    assert sum(outputs(answer)["scores"]) == pytest.approx(1)


def test_a_batch_has_an_answer_for_each() -> None:
    answer = ask(FakePrivate(), picture_request(0, 255, 0), f"/v2/models/{NAME}/versions/{VERSION}/infer")
    assert outputs(answer)["label"] == ["yes", "no", "yes"]
    assert {one["name"]: one["shape"] for one in answer["outputs"]} == {
        "label": [3],
        "class": [3],
        "scores": [3, 2],
        "logits": [3, 2],
    }


def test_a_label_is_all_where_no_more_is_revealed() -> None:
    assert list(outputs(ask(FakePrivate("label"), pixels_request(DARK)))) == ["label", "class"]


def test_a_network_with_one_output_has_a_value() -> None:
    assert outputs(ask(FakePrivate(classes=("age",)), pixels_request(LIGHT))) == {"value": [8.0]}


def test_outputs_are_those_asked_for() -> None:
    asked = pixels_request(DARK, outputs=[{"name": "class"}, {"name": "label"}])
    assert list(outputs(ask(FakePrivate(), asked)).items()) == [("class", [1]), ("label", ["yes"])]


def test_binary_data_goes_both_ways() -> None:
    private = FakePrivate()
    pictures = b"".join(struct.pack("<I", len(one)) + one for one in (png(0), png(255)))
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "picture",
                    "datatype": "BYTES",
                    "shape": [2, 1],
                    "parameters": {"binary_data_size": len(pictures)},
                }
            ],
            "outputs": [{"name": "label", "parameters": {"binary_data": True}}, {"name": "class"}],
        }
    ).encode()
    response = rest_of(gateway_of(private)).post(
        INFER, content=head + pictures, headers={"Inference-Header-Content-Length": str(len(head))}
    )
    length = int(response.headers["Inference-Header-Content-Length"])
    label, index = json.loads(response.content[:length])["outputs"]
    raw = response.content[length:]
    assert index["data"] == [1, 0]
    assert label["parameters"] == {"binary_data_size": len(raw)}
    assert raw == struct.pack("<I", 3) + b"yes" + struct.pack("<I", 2) + b"no"


def test_all_outputs_are_raw_where_that_is_asked_for_at_once() -> None:
    asked = pixels_request(DARK, parameters={"binary_data_output": True})
    response = rest_of(gateway_of(FakePrivate())).post(INFER, json=asked)
    length = int(response.headers["Inference-Header-Content-Length"])
    sizes = [one["parameters"]["binary_data_size"] for one in json.loads(response.content[:length])["outputs"]]
    assert sizes == [7, 8, 8, 8]
    assert length + sum(sizes) == len(response.content)


def one_input(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 2, 2], "data": [0] * 4} | changes]}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "expected a request of the protocol"),
        ({}, "found at inputs: missing"),
        ({"inputs": []}, "expected one of picture, pixels, tensor, found 0"),
        ({"inputs": one_input()["inputs"] * 2}, "expected one of picture, pixels, tensor, found 2"),
        (one_input(name="x"), "expected one of picture, pixels, tensor, found 'x'"),
        (one_input(datatype="FP16"), "expected datatype BYTES, UINT8 or FP32, found 'FP16'"),
        (one_input(datatype="FP32"), "expected datatype UINT8, found 'FP32'"),
        (one_input(shape=[1, 2, 2]), "expected shape [-1, 1, 2, 2], found [1, 2, 2]"),
        (one_input(shape=[4, 1, 1, 1]), "expected shape [-1, 1, 2, 2], found [4, 1, 1, 1]"),
        (one_input(shape=[-1, 1, 2, 2]), "expected as many elements as shape [-1, 1, 2, 2] has, found 4"),
        (one_input(data=[0] * 3), "expected as many elements as shape [1, 1, 2, 2] has, found 3"),
        (one_input(data=[0, 0, 0, 256]), "expected whole numbers from 0 to 255 as UINT8"),
        (one_input(data=[0, 0, 0, 0.5]), "expected whole numbers from 0 to 255 as UINT8"),
        (one_input(data=[0, [0], 0, 0]), "expected data of one depth"),
        (one_input(data=None), "expected a list as data, or binary_data_size"),
        (one_input(name="tensor", datatype="FP32", data=[0, 0, 0, 1e39]), "values"),
        (one_input(name="tensor", datatype="FP32", data=["0"] * 4), "expected numbers as FP32"),
        (one_input(name="picture", datatype="BYTES", shape=[1], data=["?"]), "expected pictures as base64 in JSON"),
        (
            one_input(name="picture", datatype="BYTES", shape=[1], data=["AAAA"]),
            "picture 0: expected a PNG, JPEG or TIFF",
        ),
        (one_input(name="picture", datatype="BYTES", shape=[0], data=[]), "expected 1 to 1024 in a request, found 0"),
        (one_input() | {"outputs": [{"name": "scores"}]}, "expected one of label, class (label is revealed), found"),
        (one_input() | {"outputs": [{"name": "label", "parameters": {"classification": 3}}]}, "found classification"),
        (one_input(parameters={"binary_data_size": 4}), "expected data or binary_data_size, found both"),
        (one_input(data=None, parameters={"binary_data_size": 4}), "expected a binary_data_size of 0 to 0"),
    ],
)
def test_what_is_wrong_is_a_bad_request_in_one_line(body: Any, says: str) -> None:
    private = FakePrivate("label")
    response = rest_of(gateway_of(private)).post(INFER, json=body)
    assert response.status_code == 400
    assert says in response.json()["error"]
    assert "\n" not in response.json()["error"]
    assert not private.seen


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v2/models/other/infer", "model: expected 'tiny', found 'other'"),
        (f"/v2/models/{NAME}/versions/1/infer", f"version: expected '{VERSION}', found '1'"),
        ("/v2/modls/tiny/infer", "path: expected one of the Open Inference Protocol"),
    ],
)
def test_what_is_not_there_is_not_found(path: str, says: str) -> None:
    response = rest_of(gateway_of(FakePrivate())).post(path, json=pixels_request(DARK))
    assert (response.status_code, response.json()["error"][: len(says)]) == (404, says)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PeerUnavailableError("server: away"), 503),
        (PeerTimeoutError("server: silent"), 504),
        (BusyError("server: no place", retry_s=3), 503),
        (ConfigError("backend: not offered"), 400),
        (PiError("else"), 500),
    ],
)
def test_errors_of_the_private_side_have_a_status(error: PiError, status: int) -> None:
    private = FakePrivate()
    private.fault = error
    response = rest_of(gateway_of(private)).post(INFER, json=pixels_request(DARK))
    assert (response.status_code, response.json()["error"]) == (status, str(error))
    assert response.headers.get("Retry-After") == ("3" if isinstance(error, BusyError) else None)


def test_a_bug_is_logged_without_what_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    private = FakePrivate()
    private.fault = ValueError("pixels 1234")
    with caplog.at_level("DEBUG"):
        response = rest_of(gateway_of(private)).post(INFER, json=pixels_request(DARK))
    assert (response.status_code, response.json()) == (500, {"error": "internal error, see the server's log"})
    assert "ValueError" in caplog.text
    assert "1234" not in caplog.text


def test_more_requests_than_may_wait_are_told_that_it_is_busy() -> None:
    private = FakePrivate()
    gateway = gateway_of(private, waiting=1)
    rest = rest_of(gateway)
    rest.get(f"/v2/models/{NAME}")
    private.go.clear()
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(rest.post(INFER, json=pixels_request(DARK)).status_code))
        for _ in range(2)
    ]
    threads[0].start()
    assert private.at_work.wait(10)
    held = gateway.queue.submit(lambda: None)
    busy = rest.post(INFER, json=pixels_request(DARK))
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "1")
    held.cancel()
    threads[1].start()
    private.go.set()
    for thread in threads:
        thread.join(10)
    assert found == [200, 200]


def test_bodies_and_encodings_are_bounded() -> None:
    rest = rest_of(gateway_of(FakePrivate()), most_bytes=200)
    assert rest.post(INFER, content=b" " * 201).status_code == 413
    assert rest.post(INFER, content=b"{}", headers={"Content-Encoding": "gzip"}).status_code == 400
    assert rest.post(INFER, content=b"{}", headers={"Inference-Header-Content-Length": "3"}).status_code == 400
    assert rest.post(INFER, content=b"{}", headers={"Inference-Header-Content-Length": "-1"}).status_code == 400


def test_elements_are_counted_before_all_are_cut_out() -> None:
    with pytest.raises(InputError, match="expected at most 1024 elements, found more"):
        from_raw("picture", "BYTES", (1025,), bytes(4 * 1025))
    assert len(from_raw("picture", "BYTES", (1024,), bytes(4 * 1024)).values) == 1024


def test_pages_of_browsers_cannot_ask() -> None:
    private = FakePrivate()
    rest = rest_of(gateway_of(private))
    assert rest.get("/v2", headers={"Host": "evil.example"}).status_code == 400
    for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000"):
        assert rest.get("/v2", headers={"Host": host}).status_code == 200
    response = rest.post(INFER, json=pixels_request(DARK), headers={"Origin": "http://evil.example"})
    assert response.status_code == 400
    assert not private.seen


def test_another_model_at_the_server_is_answered_with_its_own_preprocessing() -> None:
    private = FakePrivate()
    rest = rest_of(gateway_of(private))
    rest.post(INFER, json=pixels_request(LIGHT))
    private.model = with_preprocess(private.model, mean=(0.0,), std=(1.0,))
    assert rest.post(INFER, json=pixels_request(LIGHT)).json()["model_version"] == private.model.digest[:16]
    assert [seen.max() for seen in private.seen] == [2.0, 1.0]
    pinned = rest.post(f"/v2/models/{NAME}/versions/{VERSION}/infer", json=pixels_request(LIGHT))
    assert pinned.status_code == 404


def test_a_model_that_came_since_is_found_by_what_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "FRESH_S", 0.0)
    private = FakePrivate("label")
    rest = rest_of(gateway_of(private))

    def changed(**preprocess: Any) -> str:
        """The path of a model that the gateway has not seen."""
        assert rest.get(f"/v2/models/{NAME}").status_code == 200
        private.model = with_preprocess(private.model, **preprocess)
        return f"/v2/models/{NAME}/versions/{private.model.digest[:16]}"

    path = changed(mean=(0.0,))
    assert rest.get(path).json()["versions"] == [private.model.digest[:16]]
    path = changed(mean=(0.25,))
    assert rest.post(f"{path}/infer", json=pixels_request(LIGHT)).status_code == 200
    private.reveal = "logits"
    assert rest.post(INFER, json=pixels_request(LIGHT, outputs=[{"name": "scores"}])).status_code == 200
    assert rest.get(f"/v2/models/{NAME}/versions/{VERSION}").status_code == 404


@pytest.mark.parametrize("data", ["[" * 5000 + "]" * 5000, "[NaN, 0, 0, 0]", "[Infinity, 0, 0, 0]", "[1e999, 0, 0, 0]"])
def test_json_that_is_too_deep_or_not_finite_is_a_bad_request(data: str) -> None:
    body = '{"inputs": [{"name": "tensor", "datatype": "FP32", "shape": [1, 1, 2, 2], "data": %s}]}' % data  # noqa: UP031
    response = rest_of(gateway_of(FakePrivate())).post(INFER, content=body)
    assert response.status_code == 400
