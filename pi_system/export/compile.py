"""A network of one's own to an artifact: what came is looked at, named and brought into form, then exported.

Every error is typed and one line, whatever torch, pydantic or the module's code raise.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from pi_system.artifact.model import Artifact
from pi_system.artifact.preprocess import Preprocess
from pi_system.errors import ConfigError, InputError, PiError, UnsupportedLayerError
from pi_system.export.exporter import export_network
from pi_system.export.intake import one_line, plain_module, try_out, unwrapped
from pi_system.export.onnx import read_onnx
from pi_system.export.outputs import one_choice, output_names
from pi_system.export.program import read_program
from pi_system.export.quantise import QuantiseOptions
from pi_system.export.source import open_program

__all__ = ["MAX_CALIBRATION", "Preprocessing", "calibration_inputs", "compile_network"]

MAX_CALIBRATION: Final = 256
"""Inputs of an iterable that are looked at. More: a surer tail estimate, a slower export."""

Preprocessing = Preprocess | Mapping[str, Any] | None
"""How files become inputs: all of it, or ``mean``, ``std`` and ``invert`` alone; None: pixels from 0 to 1, values as
they are."""
_SIMPLE: Final = ("mean", "std", "invert")

_log = logging.getLogger(__name__)


def compile_network(
    network: object,
    inputs: NDArray[np.float32],
    *,
    classes: Sequence[str] | None = None,
    preprocess: Preprocessing = None,
    name: str | None = None,
    options: QuantiseOptions | None = None,
    approximate: float | None = None,
) -> Artifact:
    """Export a network of one's own.

    Args:
        network: a torch module or ExportedProgram, (N, ...) to logits (N, classes); or the path of a .onnx or .pt2
            file (code in a .pt2 may run: your own only).
        inputs: for calibration, as the network takes them: (N, C, H, W), (N, C, L) or (N, features). 64 are plenty.
        classes: names in the order of the logits. Two for one output: that is the logit of the second, or its sigmoid.
            One for one output: the name of a value. None: see ``output_names``.
        preprocess: how files become such inputs.
        name: of the network; None: its class's.
        options: how ring parameters are chosen.
        approximate: how far straight pieces may be from smooth functions (GELU, SiLU, sigmoid), in whose place they
            stand; None: such functions are refused.

    Raises:
        InputError: something that is no network or no inputs of it; the message says what to pass.
        UnsupportedLayerError: naming a layer that export does not support.
        ConfigError: classes or preprocessing do not fit the network, or its values fit no ring.
    """
    module = plain_module(_read(network, inputs.shape[1:]))
    if approximate is not None and not (isinstance(approximate, Real) and 0 < approximate < 1):
        raise ConfigError(f"approximate: expected an error between 0 and 1, found {approximate!r:.40}")
    if not isinstance(name, str | None):
        raise ConfigError(f"name: expected text, found {type(name).__name__}")
    given = inputs.shape
    module, inputs = _of_planes(module, inputs)
    result = try_out(module, inputs[:2], given[1:])
    outputs = output_names(result)
    if not outputs:
        found = "empty ones" if isinstance(result, Tensor) else type(result).__name__
        raise InputError(f"network: expected it to return tensors, found {found}: return its logits")
    plain = make_preprocess(preprocess, inputs.shape[1:], _class_names(classes, outputs))
    binary = (len(outputs), len(plain.classes)) == (1, 2)
    text = _printable(name or _own_name(network))
    if classes is None and not one_choice(result):
        _log.warning("%s: a label is the largest of all %d outputs: serve it with --reveal logits", text, len(outputs))
    try:
        return export_network(module, plain, inputs, text, options, binary=binary, approximate=approximate)
    except PiError:
        raise
    except Exception as error:  # what tracing and running a module's code raise
        raise UnsupportedLayerError(f"{text}: cannot be exported: {one_line(error)}") from error


def _read(network: object, shape: tuple[int, ...]) -> object:
    """What is in a file or a program; a network itself."""
    if isinstance(network, str | PathLike):
        path = Path(network)
        if path.suffix.lower() == ".onnx":
            return read_onnx(path, shape)
        if path.suffix.lower() != ".pt2":
            raise InputError(f"network: expected a torch module, or a .onnx or .pt2 file, found {path.name}")
        network = open_program(path)
    return read_program(network) if isinstance(network, torch.export.ExportedProgram) else network


def _of_planes(module: nn.Module, inputs: NDArray[np.float32]) -> tuple[nn.Module, NDArray[np.float32]]:
    """A network of inputs (N, features) or (N, C, L) as one of (N, C, H, W), and these inputs."""
    if inputs.ndim in (2, 3):
        module.register_forward_pre_hook(partial(_flattened, inputs.ndim - 1))
        inputs = inputs.reshape(*inputs.shape, *(1,) * (4 - inputs.ndim))
    if inputs.ndim != 4 or len(inputs) == 0:
        raise InputError(f"calibration: expected inputs (N, C, H, W), (N, C, L) or (N, features), found {inputs.shape}")
    if not np.isfinite(inputs).all():
        raise InputError("calibration: expected finite values")
    return module, inputs


def _flattened(axis: int, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].flatten(axis), *inputs[1:])


def _own_name(network: object) -> str:
    """Of a file its name, of a module its class's."""
    if isinstance(network, str | PathLike):
        return Path(network).stem
    return type(unwrapped(network) if isinstance(network, nn.Module) else network).__name__


def _printable(name: str) -> str:
    given = name.encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in given)[:256] or "network"


def _class_names(classes: Sequence[str] | None, outputs: tuple[str, ...]) -> tuple[str, ...]:
    """Of the logits, whose own names are ``outputs``."""
    if classes is None:
        return outputs
    if isinstance(classes, str) or not (isinstance(classes, Sequence) and all(isinstance(one, str) for one in classes)):
        raise ConfigError("classes: expected a list of names")
    if len(classes) not in ((1, 2) if len(outputs) == 1 else (len(outputs),)):
        also = ", or 2 for a binary network" if len(outputs) == 1 else ""
        raise ConfigError(f"classes: expected {len(outputs)} names, the network's outputs{also}, found {len(classes)}")
    return tuple(classes)


def make_preprocess(given: Preprocessing, shape: tuple[int, ...], classes: tuple[str, ...]) -> Preprocess:
    """All of the preprocessing of inputs of ``shape`` (C, H, W). Raises ConfigError: it is no such thing."""
    if isinstance(given, Preprocess):
        return _checked(given.model_dump() | {"classes": classes})
    if given is not None and not isinstance(given, Mapping):
        raise ConfigError(f"preprocess: expected {', '.join(_SIMPLE)} or a whole Preprocess, found {given!r:.40}")
    fields = dict(given or {})
    unknown = sorted(map(str, set(fields) - set(_SIMPLE)))
    if unknown:
        raise ConfigError(f"preprocess: expected {', '.join(_SIMPLE)} or a whole Preprocess, found {unknown[0]}")
    channels, height, width = shape
    try:
        mean, std = (_by_channel(fields.get(key, default), channels) for key, default in (("mean", 0.0), ("std", 1.0)))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"preprocess: {one_line(error)}") from None
    sizes = {"channels": channels, "height": height, "width": width}
    return _checked({**sizes, "mean": mean, "std": std, "classes": classes, "invert": fields.get("invert", False)})


def _checked(fields: dict[str, Any]) -> Preprocess:
    try:
        return Preprocess(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"preprocess{'.' if where else ''}{where}: {first['msg']}") from None


def _by_channel(value: Any, channels: int) -> tuple[float, ...]:
    values = [float(one) for one in np.asarray(value, np.float64).reshape(-1)]
    return tuple(values * channels if len(values) == 1 else values)


def calibration_inputs(given: object) -> NDArray[np.float32]:
    """Inputs as the network takes them, float32 (N, ...): a tensor, an array, or batches of a data loader.

    A batch may be a tuple whose first entry is the inputs. Raises InputError: anything else.
    """
    if isinstance(given, Tensor | np.ndarray):
        return _as_array(given)
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping):
        parts = _batches(given)
        if not parts or any(part.shape[1:] != parts[0].shape[1:] for part in parts):
            raise InputError(
                "calibration: expected batches of one shape, at least one; of (inputs, labels) pass the inputs"
            )
        return np.concatenate(parts)[:MAX_CALIBRATION]
    raise InputError(f"calibration: expected a tensor, an array or batches of them, found {type(given).__name__}")


def _batches(loader: Iterable[object]) -> list[NDArray[np.float32]]:
    parts: list[NDArray[np.float32]] = []
    try:
        for batch in loader:
            parts.append(_as_array(batch[0] if isinstance(batch, tuple | list) and batch else batch))
            if sum(len(part) for part in parts) >= MAX_CALIBRATION:
                break
    except PiError:
        raise
    except Exception as error:  # of the loader and the data set behind it
        raise InputError(f"calibration: expected batches, found that the loader fails: {one_line(error)}") from error
    return parts


def _as_array(given: object) -> NDArray[np.float32]:
    try:
        if isinstance(given, Tensor):
            return given.detach().cpu().float().numpy()
        values = np.asarray(given)
        if values.dtype.kind in "fiub":
            return values.astype(np.float32)
    except Exception as error:  # tensors of other layouts and devices
        raise InputError(f"calibration: expected real numbers: {one_line(error)}") from error
    raise InputError(f"calibration: expected real numbers, found {type(given).__name__} of {values.dtype}")
