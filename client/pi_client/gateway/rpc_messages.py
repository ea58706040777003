"""The protocol's messages over gRPC, whose tensors are typed or raw.

Source: the specification's open_inference_grpc.proto.
"""

import numpy as np
from google.protobuf.message import DecodeError, Message

from pi_client.gateway.contents import check_count, check_datatype, from_raw, to_raw
from pi_client.gateway.messages import DTYPES, InferRequest, InferResponse, ModelMetadata, Tensor, TensorSpec, Values
from pi_client.gateway.rest_messages import check_parameters
from pi_system._proto import open_inference_pb2 as pb
from pi_system.errors import InputError


def read_request(message: pb.ModelInferRequest) -> InferRequest:
    """What a message asks. Raises InputError."""
    check_parameters(message.parameters)
    for of_input in message.inputs:
        check_parameters(of_input.parameters)
    for of_output in message.outputs:
        check_parameters(of_output.parameters)
    return InferRequest(
        model=message.model_name,
        version=message.model_version,
        inputs=_tensors(message),
        outputs=tuple(output.name for output in message.outputs),
        id=message.id,
    )


def write_response(response: InferResponse, *, raw: bool) -> pb.ModelInferResponse:
    """The message; its outputs raw, as the request's inputs were, or typed."""
    message = pb.ModelInferResponse(model_name=response.model, model_version=response.version, id=response.id)
    for tensor in response.outputs:
        output = message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if raw:
            message.raw_output_contents.append(to_raw(tensor))
        elif isinstance(tensor.values, list):
            output.contents.bytes_contents.extend(tensor.values)
        elif tensor.datatype == "INT64":
            output.contents.int64_contents.extend(tensor.values.tolist())
        else:
            output.contents.fp32_contents.extend(tensor.values.tolist())
    return message


def write_metadata(model: ModelMetadata) -> pb.ModelMetadataResponse:
    """The metadata of a model."""
    return pb.ModelMetadataResponse(
        name=model.name,
        versions=[model.version],
        platform=model.platform,
        inputs=[_spec(spec) for spec in model.inputs],
        outputs=[_spec(spec) for spec in model.outputs],
    )


def parse(message: Message, data: bytes) -> None:
    """Read ``data`` into ``message``. Raises InputError."""
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise InputError("request: expected a message of the protocol, found something else") from None


def _spec(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.shape)


def _tensors(message: pb.ModelInferRequest) -> tuple[Tensor, ...]:
    raw = message.raw_input_contents
    if not raw:
        return tuple(_typed(one) for one in message.inputs)
    if len(raw) != len(message.inputs) or any(one.HasField("contents") for one in message.inputs):
        raise InputError("raw_input_contents: expected one for every input, and no typed contents, found others")
    return tuple(
        from_raw(one.name, one.datatype, tuple(one.shape), data) for one, data in zip(message.inputs, raw, strict=True)
    )


def _typed(one: pb.ModelInferRequest.InferInputTensor) -> Tensor:
    check_datatype(one.name, one.datatype)
    contents, shape = one.contents, tuple(one.shape)
    values: Values
    if one.datatype == "BYTES":
        values = list(contents.bytes_contents)
    elif one.datatype == "UINT8":
        if any(value > 255 for value in contents.uint_contents):
            raise InputError(f"input {one.name[:64]!r}: expected numbers from 0 to 255 as UINT8, found more")
        values = np.array(list(contents.uint_contents), DTYPES["UINT8"])
    else:
        values = np.array(list(contents.fp32_contents), DTYPES["FP32"])
    check_count(one.name, shape, len(values))
    return Tensor(name=one.name, datatype=one.datatype, shape=shape, values=values)
