"""Which tensors a private model has, its inputs out of a request's, and a result as tensors."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pi_client.gateway.messages import InferRequest, ModelMetadata, Tensor, TensorSpec
from pi_system.api.client import Served
from pi_system.api.result import Result
from pi_system.artifact.preprocess import Preprocess
from pi_system.errors import InputError
from pi_system.inputs.arrays import as_inputs, as_values
from pi_system.inputs.picture import decode_picture
from pi_system.rpc.session_config import MAX_BATCH

PICTURE, PIXELS, TENSOR = "picture", "pixels", "tensor"
"""Inputs: files of pictures; pixels of the network's size, 0 to 255; numbers as the network takes them."""
_DIGITS = 16


def version_of(served: Served) -> str:
    """The first digits of the artifact's digest."""
    return served.model.digest[:_DIGITS]


def metadata_of(name: str, served: Served) -> ModelMetadata:
    """What clients are told of the model. One of the inputs is to be sent, not all."""
    return ModelMetadata(
        name=name,
        version=version_of(served),
        platform=f"pi_system_{served.backend}",
        inputs=_inputs(served.model.preprocess),
        outputs=_outputs(served),
    )


def read_inputs(tensors: Sequence[Tensor], preprocess: Preprocess) -> NDArray[np.float32]:
    """What the network takes, (N, C, H, W), out of the one tensor of a request.

    Raises:
        InputError: it is not one, or of another name, datatype, shape or content than the metadata say.
    """
    known = {spec.name: spec for spec in _inputs(preprocess)}
    if len(tensors) != 1:
        raise InputError(f"inputs: expected one of {', '.join(known)}, found {len(tensors)}")
    tensor = tensors[0]
    spec = known.get(tensor.name)
    if spec is None:
        raise InputError(f"input: expected one of {', '.join(known)}, found {tensor.name[:64]!r}")
    if tensor.datatype != spec.datatype:
        raise InputError(f"input {spec.name!r}: expected datatype {spec.datatype}, found {tensor.datatype[:16]!r}")
    if isinstance(tensor.values, list):
        return _pictures(tensor.shape, tensor.values, preprocess)
    if len(tensor.shape) != 4 or tensor.shape[1:] != spec.shape[1:]:
        raise InputError(
            f"input {spec.name!r}: expected shape {list(spec.shape)}, found {str(list(tensor.shape))[:64]}"
        )
    _check_batch(spec.name, tensor.shape[0])
    values = tensor.values.reshape(tensor.shape)
    return as_values(values, preprocess, "input") if spec.name == PIXELS else as_inputs(values, preprocess)


def check_outputs(asked: Sequence[str], served: Served) -> None:
    """Raise InputError for an output that the model, or what the server reveals of it, does not have."""
    known = [spec.name for spec in _outputs(served)]
    for name in asked:
        if name not in known:
            raise InputError(
                f"output: expected one of {', '.join(known)} ({served.reveal} is revealed), found {name[:64]!r}"
            )


def outputs_of(result: Result, request: InferRequest) -> tuple[Tensor, ...]:
    """The outputs that were asked for, in that order."""
    answers, made = list(result), {}
    served = Served(model=result.model, reveal=result.reveal, backend="")
    for spec in _outputs(served):
        values: NDArray[np.generic] | list[bytes]
        if spec.name == "label":
            values = [label.encode() for label in result.labels]
        elif spec.name == "class":
            values = np.array([answer.index for answer in answers], np.int64)
        else:
            found = result.scores if spec.name == "scores" else result.outputs
            values = np.asarray(found, np.float32).reshape(-1)
        shape = (len(answers), *spec.shape[1:])
        made[spec.name] = Tensor(name=spec.name, datatype=spec.datatype, shape=shape, values=values)
    return tuple(made[name] for name in request.outputs or made)


def _inputs(preprocess: Preprocess) -> tuple[TensorSpec, ...]:
    shape = (-1, preprocess.channels, preprocess.height, preprocess.width)
    tensors = (
        TensorSpec(name=PIXELS, datatype="UINT8", shape=shape),
        TensorSpec(name=TENSOR, datatype="FP32", shape=shape),
    )
    if preprocess.channels not in (1, 3):
        return tensors
    return (TensorSpec(name=PICTURE, datatype="BYTES", shape=(-1,)), *tensors)


def _outputs(served: Served) -> tuple[TensorSpec, ...]:
    classes = len(served.model.preprocess.classes)
    if classes == 1 and served.reveal != "label":
        return (TensorSpec(name="value", datatype="FP32", shape=(-1, 1)),)
    label = TensorSpec(name="label", datatype="BYTES", shape=(-1,))
    index = TensorSpec(name="class", datatype="INT64", shape=(-1,))
    if served.reveal == "label":
        return label, index
    rest = (TensorSpec(name=name, datatype="FP32", shape=(-1, classes)) for name in ("scores", "logits"))
    return label, index, *rest


def _pictures(shape: tuple[int, ...], files: list[bytes], preprocess: Preprocess) -> NDArray[np.float32]:
    if shape not in ((len(files),), (len(files), 1)):
        raise InputError(f"input {PICTURE!r}: expected shape [-1] or [-1, 1], found {str(list(shape))[:64]}")
    _check_batch(PICTURE, len(files))
    read = [decode_picture(data, preprocess, f"picture {index}") for index, data in enumerate(files)]
    return np.stack(read)


def _check_batch(name: str, count: int) -> None:
    if not 1 <= count <= MAX_BATCH:
        raise InputError(f"input {name!r}: expected 1 to {MAX_BATCH} in a request, found {count}")
