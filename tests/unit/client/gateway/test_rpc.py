"""The protocol over gRPC, before a private server that is an object."""

import struct
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from gateways import NAME, VERSION, FakePrivate, down, gateway_of, png, wait_until

from pi_client.gateway.gateway import Gateway
from pi_client.gateway.rpc import SERVICE, make_replies
from pi_system._proto import open_inference_pb2 as pb
from pi_system.errors import BusyError, ConfigError
from pi_system.rpc.calls import CallServer

FIELDS = {
    "ServerLiveResponse": {"live": 1},
    "ServerReadyResponse": {"ready": 1},
    "ModelReadyRequest": {"name": 1, "version": 2},
    "ModelReadyResponse": {"ready": 1},
    "ServerMetadataResponse": {"name": 1, "version": 2, "extensions": 3},
    "ModelMetadataRequest": {"name": 1, "version": 2},
    "ModelMetadataResponse": {"name": 1, "versions": 2, "platform": 3, "inputs": 4, "outputs": 5},
    "ModelMetadataResponse.TensorMetadata": {"name": 1, "datatype": 2, "shape": 3},
    "ModelInferRequest": {
        "model_name": 1,
        "model_version": 2,
        "id": 3,
        "parameters": 4,
        "inputs": 5,
        "outputs": 6,
        "raw_input_contents": 7,
    },
    "ModelInferRequest.InferInputTensor": {"name": 1, "datatype": 2, "shape": 3, "parameters": 4, "contents": 5},
    "ModelInferRequest.InferRequestedOutputTensor": {"name": 1, "parameters": 2},
    "ModelInferResponse": {
        "model_name": 1,
        "model_version": 2,
        "id": 3,
        "parameters": 4,
        "outputs": 5,
        "raw_output_contents": 6,
    },
    "ModelInferResponse.InferOutputTensor": {"name": 1, "datatype": 2, "shape": 3, "parameters": 4, "contents": 5},
    "InferParameter": {"bool_param": 1, "int64_param": 2, "string_param": 3, "double_param": 4, "uint64_param": 5},
    "InferTensorContents": {
        "bool_contents": 1,
        "int_contents": 2,
        "int64_contents": 3,
        "uint_contents": 4,
        "uint64_contents": 5,
        "fp32_contents": 6,
        "fp64_contents": 7,
        "bytes_contents": 8,
    },
}
"""Of the published specification: stock clients have them compiled in."""
ONE = {"datatype": "UINT8", "shape": [1, 1, 2, 2]}


class Caller:
    """A gRPC client that knows the messages, and nothing else of the gateway."""

    def __init__(self, gateway: Gateway, at_once: int = 4) -> None:
        self.server = CallServer("127.0.0.1:0", SERVICE, make_replies(gateway), at_once=at_once, most_bytes=10_000)
        self.channel = grpc.insecure_channel(self.server.address)

    def __call__(self, name: str, request: Any) -> Any:
        return self.future(name, request).result()

    def future(self, name: str, request: Any) -> Any:
        reply = getattr(pb, type(request).__name__.replace("Request", "Response"))
        call = self.channel.unary_unary(
            f"/inference.GRPCInferenceService/{name}", type(request).SerializeToString, reply.FromString
        )
        return call.future(request, timeout=20)

    def refused(self, request: Any, name: str = "ModelInfer") -> tuple[str, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self(name, request)
        return caught.value.code().name, str(caught.value.details())

    def close(self) -> None:
        self.channel.close()
        self.server.stop(0)
        self.server.wait()


@pytest.fixture
def private() -> FakePrivate:
    return FakePrivate()


@pytest.fixture
def gateway(private: FakePrivate) -> Gateway:
    return gateway_of(private)


@pytest.fixture
def call(gateway: Gateway) -> Iterator[Any]:
    caller = Caller(gateway)
    yield caller
    caller.close()


def request(*raw: bytes, model: str = NAME, **tensor: Any) -> pb.ModelInferRequest:
    one = pb.ModelInferRequest.InferInputTensor(**({"name": "pixels"} | ONE | tensor))
    return pb.ModelInferRequest(model_name=model, inputs=[one], raw_input_contents=raw)


def test_messages_have_the_numbers_of_the_specification() -> None:
    found = {}
    for name in FIELDS:
        message = pb.DESCRIPTOR.message_types_by_name[name.partition(".")[0]]
        if "." in name:
            message = message.nested_types_by_name[name.partition(".")[2]]
        found[name] = {field.name: field.number for field in message.fields}
    assert found == FIELDS
    assert pb.DESCRIPTOR.package == "inference"


def test_health_and_metadata(call: Caller) -> None:
    assert call("ServerLive", pb.ServerLiveRequest()).live
    assert call("ServerReady", pb.ServerReadyRequest()).ready
    assert call("ModelReady", pb.ModelReadyRequest(name=NAME)).ready
    assert call("ServerMetadata", pb.ServerMetadataRequest()).name == "pi-system gateway"
    found = call("ModelMetadata", pb.ModelMetadataRequest(name=NAME, version=VERSION))
    assert [(one.name, one.datatype, list(one.shape)) for one in found.inputs] == [
        ("picture", "BYTES", [-1]),
        ("pixels", "UINT8", [-1, 1, 2, 2]),
        ("tensor", "FP32", [-1, 1, 2, 2]),
    ]


def test_a_private_server_that_is_away_is_not_ready() -> None:
    caller = Caller(gateway_of(FakePrivate(), check=down))
    try:
        assert caller("ServerLive", pb.ServerLiveRequest()).live
        assert not caller("ServerReady", pb.ServerReadyRequest()).ready
        assert not caller("ModelReady", pb.ModelReadyRequest(name=NAME)).ready
    finally:
        caller.close()


def test_raw_requests_have_raw_answers(call: Caller) -> None:
    pictures = b"".join(struct.pack("<I", len(one)) + one for one in (png(0), png(255)))
    answer = call("ModelInfer", request(pictures, name="picture", datatype="BYTES", shape=[2]))
    raw = dict(zip([one.name for one in answer.outputs], answer.raw_output_contents, strict=True))
    assert raw["label"] == struct.pack("<I", 3) + b"yes" + struct.pack("<I", 2) + b"no"
    assert np.frombuffer(raw["class"], "<i8").tolist() == [1, 0]
    assert np.frombuffer(raw["logits"], "<f4").tolist() == [-8, 8, 8, -8]
    assert list(answer.outputs[3].shape) == [2, 2]


@pytest.mark.parametrize(
    "tensor",
    [
        {"contents": {"uint_contents": [255] * 4}},
        {"name": "tensor", "datatype": "FP32", "contents": {"fp32_contents": [2.0] * 4}},
        {"name": "picture", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [png(255)]}},
    ],
)
def test_typed_requests_have_typed_answers(call: Caller, private: FakePrivate, tensor: dict[str, Any]) -> None:
    answer = call("ModelInfer", request(**tensor))
    outputs = {one.name: one.contents for one in answer.outputs}
    assert private.seen[0].tolist() == [[[[2.0, 2.0], [2.0, 2.0]]]]
    assert list(outputs["label"].bytes_contents) == [b"no"]
    assert list(outputs["class"].int64_contents) == [0]
    assert list(outputs["logits"].fp32_contents) == [8, -8]
    assert not answer.raw_output_contents
    assert (answer.model_name, answer.model_version) == (NAME, VERSION)


@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        (request(bytes(4), model="x"), "NOT_FOUND", "model: expected 'tiny', found 'x'"),
        (request(bytes(3)), "INVALID_ARGUMENT", "expected as many elements as shape [1, 1, 2, 2] has, found 3"),
        (request(bytes(4), bytes(4)), "INVALID_ARGUMENT", "raw_input_contents: expected one for every input"),
        (request(bytes(4), contents={"uint_contents": [0] * 4}), "INVALID_ARGUMENT", "and no typed contents"),
        (request(contents={"uint_contents": [256] * 4}), "INVALID_ARGUMENT", "from 0 to 255"),
        (request(contents={"fp32_contents": [0] * 4}), "INVALID_ARGUMENT", "has, found 0"),
        (request(bytes(4), datatype="INT64"), "INVALID_ARGUMENT", "expected datatype BYTES, UINT8 or FP32"),
        (request(bytes(4), parameters={"shared_memory_region": {"string_param": "x"}}), "INVALID_ARGUMENT", "shared"),
        (request(b"\xff\xff\xff\xffx", name="picture", datatype="BYTES", shape=[1]), "INVALID_ARGUMENT", "lengths"),
    ],
)
def test_what_is_wrong_has_a_status_and_one_line(call: Caller, asked: Any, code: str, says: str) -> None:
    found, details = call.refused(asked)
    assert found == code
    assert says in details
    assert "\n" not in details


def test_what_is_no_message_is_an_invalid_argument(call: Caller) -> None:
    raw = call.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", None, None)
    with pytest.raises(grpc.RpcError) as caught:
        raw(b"\xff\xff", timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_requests_are_bounded_in_size(call: Caller) -> None:
    assert call.refused(request(bytes(20_000)))[0] == "RESOURCE_EXHAUSTED"


def test_a_bug_is_told_as_an_internal_error_and_logged(
    call: Caller, private: FakePrivate, caplog: pytest.LogCaptureFixture
) -> None:
    private.fault = ValueError("pixels 1234")
    assert call.refused(request(bytes(4))) == ("INTERNAL", "internal error, see the server's log")
    assert "ValueError" in caplog.text
    assert "1234" not in caplog.text


def test_more_than_may_wait_are_refused_and_who_goes_is_not_answered(private: FakePrivate) -> None:
    gateway = gateway_of(private, waiting=1)
    caller = Caller(gateway)
    try:
        caller("ModelMetadata", pb.ModelMetadataRequest(name=NAME))
        private.go.clear()
        first = caller.future("ModelInfer", request(bytes(4)))
        assert private.at_work.wait(10)
        waits = caller.future("ModelInfer", request(bytes(4)))
        wait_until(lambda: _full(gateway))
        assert caller.refused(request(bytes(4)))[0] == "RESOURCE_EXHAUSTED"
        waits.cancel()
        wait_until(lambda: not _full(gateway))
        private.go.set()
        assert first.result().model_name == NAME
        assert len(private.seen) == 1
    finally:
        private.go.set()
        caller.close()


def _full(gateway: Gateway) -> bool:
    """Whether nobody else may wait."""
    try:
        gateway.queue.submit(lambda: None).cancel()
    except BusyError:
        return True
    return False


def test_an_address_that_is_taken_is_an_error(call: Caller) -> None:
    with pytest.raises(ConfigError, match="expected a free address"):
        CallServer(call.server.address, SERVICE, {}, at_once=1, most_bytes=1)
