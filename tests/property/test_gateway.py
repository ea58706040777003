"""Whatever is sent to the gateway is answered with a status of the protocol and a line, never with a traceback."""

import json
from typing import Any

from gateways import INFER, FakePrivate, gateway_of, png, rest_of
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_client.gateway.contents import from_raw, to_raw
from pi_client.gateway.messages import Tensor
from pi_client.gateway.rpc import make_replies
from pi_system.errors import PiError
from pi_system.rpc.calls import RefusedError, status_of

_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
_TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["picture", "pixels", "tensor"]) | _JSON,
        "datatype": st.sampled_from(["BYTES", "UINT8", "FP32", "FP16"]) | _JSON,
        "shape": st.lists(st.sampled_from([0, 1, 2, 4, -1, 2**70]), max_size=5) | _JSON,
        "data": st.lists(st.integers(-1, 256) | st.floats(width=32), max_size=5) | _JSON,
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "classification"]), _JSON) | _JSON,
    },
)
_REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=4) | _JSON,
        "inputs": st.lists(_TENSORS, max_size=2) | _JSON,
        "outputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["label", "x"]) | _JSON})) | _JSON,
        "parameters": _JSON,
    },
)
_GATEWAY = gateway_of(FakePrivate())
_REST = rest_of(_GATEWAY)
_REPLIES = make_replies(_GATEWAY)


@settings(max_examples=60)
@given(
    body=(_REQUESTS | _JSON).map(lambda one: json.dumps(one).encode()) | st.binary(),
    raw=st.binary(max_size=20),
    length=st.none() | st.integers(-1, 400).map(str) | st.text("0123456789-+_ .", max_size=5),
)
def test_any_body_is_answered_by_the_protocol(body: bytes, raw: bytes, length: str | None) -> None:
    headers = {} if length is None else {"Inference-Header-Content-Length": length}
    response = _REST.post(INFER, content=body + raw, headers=headers)
    assert response.status_code in (200, 400)
    if response.status_code == 400:
        assert set(response.json()) == {"error"}
        assert len(response.json()["error"].splitlines()) == 1


@given(data=st.binary(max_size=60), name=st.sampled_from(sorted(_REPLIES)))
def test_any_message_is_answered_by_the_protocol(data: bytes, name: str) -> None:
    refused = ""
    try:
        _REPLIES[name](data, lambda _: None)
    except (PiError, RefusedError) as error:
        refused = status_of(error)[0]
    assert refused in ("", "INVALID_ARGUMENT", "NOT_FOUND")


@given(values=st.lists(st.binary(max_size=9) | st.just(png(3)), max_size=5))
def test_raw_bytes_come_back_as_they_were(values: list[bytes]) -> None:
    tensor = Tensor(name="picture", datatype="BYTES", shape=(len(values),), values=values)
    assert from_raw("picture", "BYTES", (len(values),), to_raw(tensor)).values == values
