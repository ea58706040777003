"""The protocol's JSON, with tensors in it or, by the extension "binary data", in their raw form behind it.

Source: the specification's inference_rest.md; Triton's docs/protocol/extension_binary_data.md.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pi_client.gateway.contents import from_json, from_raw, to_json, to_raw
from pi_client.gateway.messages import InferRequest, InferResponse, ModelMetadata, Tensor, TensorSpec
from pi_system.errors import InputError

HEADER_LENGTH: Final = "inference-header-content-length"
BINARY: Final = "binary_tensor_data"
"""What the server's metadata call the extension."""
_REFUSED: Final = ("classification", "shared_memory_region")
"""Parameters of other extensions, which change what is meant."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    parameters: dict[str, Any] = {}


class _Input(_Part):
    name: str
    datatype: str
    shape: Annotated[list[int], Field(max_length=16)]
    data: Any = None


class _Output(_Part):
    name: str


class _Request(_Part):
    id: str = ""
    inputs: list[_Input]
    outputs: Annotated[list[_Output], Field(max_length=64)] = []


def read_request(
    model: str, version: str, body: bytes, header_length: str | None
) -> tuple[InferRequest, dict[str, bool]]:
    """What a body asks.

    Args:
        model: of the path.
        version: of the path; empty: any.
        body: JSON, and raw data behind it.
        header_length: of the JSON, as the header says; None: all.

    Returns:
        The request, and by name of an output whether it is wanted raw; under "" for those not named.

    Raises:
        InputError: it is no such request.
    """
    size = _size("Inference-Header-Content-Length", header_length, len(body))
    parsed, rest = _parse(body[:size]), _Raw(body[size:])
    parts: list[_Part] = [parsed, *parsed.inputs, *parsed.outputs]
    for part in parts:
        check_parameters(part.parameters)
    inputs = tuple(_tensor(one, rest) for one in parsed.inputs)
    rest.check_end()
    raw = {"": parsed.parameters.get("binary_data_output") is True}
    raw |= {one.name: one.parameters.get("binary_data", raw[""]) is True for one in parsed.outputs}
    outputs = tuple(one.name for one in parsed.outputs)
    return InferRequest(model=model, version=version, inputs=inputs, outputs=outputs, id=parsed.id), raw


def check_parameters(parameters: Mapping[str, object]) -> None:
    """Raise InputError for a parameter that would change what is meant; others say nothing to this model."""
    for name in _REFUSED:
        if parameters.get(name):
            raise InputError(f"parameters: expected none of {', '.join(_REFUSED)}, found {name}")


def write_response(response: InferResponse, raw: Mapping[str, bool]) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON if raw data follow."""
    outputs, parts = [], []
    for tensor in response.outputs:
        output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if raw.get(tensor.name, raw[""]):
            parts.append(to_raw(tensor))
            output["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            output["data"] = to_json(tensor)
        outputs.append(output)
    told = {"model_name": response.model, "model_version": response.version, "id": response.id, "outputs": outputs}
    header = json.dumps(told).encode()
    return header + b"".join(parts), len(header) if parts else None


def write_metadata(model: ModelMetadata) -> dict[str, Any]:
    """The metadata of a model."""
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": model.platform,
        "inputs": [_spec(spec) for spec in model.inputs],
        "outputs": [_spec(spec) for spec in model.outputs],
    }


def _spec(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _parse(text: bytes) -> _Request:
    try:
        return _Request.model_validate_json(text)
    except ValidationError as error:  # whose text holds what was sent
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part)[:32] for part in first["loc"]) or "body"
        raise InputError(f"request: expected a request of the protocol, found at {where}: {first['type']}") from None


def _tensor(one: _Input, rest: "_Raw") -> Tensor:
    shape = tuple(one.shape)
    if "binary_data_size" in one.parameters:
        if one.data is not None:
            raise InputError(f"input {one.name[:64]!r}: expected data or binary_data_size, found both")
        return from_raw(one.name, one.datatype, shape, rest.take(one.name, one.parameters["binary_data_size"]))
    return from_json(one.name, one.datatype, shape, one.data)


class _Raw:
    """Raw data, taken from the front."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def take(self, name: str, size: object) -> bytes:
        left = len(self._data) - self._at
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= left:
            raise InputError(f"input {name[:64]!r}: expected a binary_data_size of 0 to {left}, found another")
        self._at += size
        return self._data[self._at - size : self._at]

    def check_end(self) -> None:
        if self._at != len(self._data):
            raise InputError(f"body: expected {self._at} bytes of binary data, found {len(self._data)}")


def _size(name: str, value: str | None, most: int) -> int:
    if value is None:
        return most
    if not value.isascii() or not value.isdigit() or len(value) > 18 or int(value) > most:
        raise InputError(f"{name}: expected 0 to {most}, found another")
    return int(value)
