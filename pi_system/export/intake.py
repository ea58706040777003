"""What people have as their network, made a plain float32 module on the CPU; or refused with what to pass instead.

torch.compile, DataParallel, DistributedDataParallel and AveragedModel are taken off wherever they are; TorchScript,
weights alone, a class, a function and quantised networks are refused with what to pass instead.
"""

import re
import traceback
from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pi_system.errors import InputError, UnsupportedLayerError
from pi_system.export.copies import duplicate

__all__ = ["code_line", "one_line", "plain_module", "try_out", "unwrapped"]

_WRAPPERS: Final = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
    "AveragedModel": "module",
}
"""Classes of torch by name, since some are loaded only where they are used, and where each keeps its module."""
_INSTEAD: Final = (
    (torch.jit.ScriptModule, "TorchScript", "the Python module it was made of, or an ONNX file of it"),
    (type, "a class", "an instance: the network with its weights"),
    (Mapping, "weights alone", "the network they belong to, after load_state_dict"),
    (Tensor, "a tensor", "the network"),
)
_ARGUMENTS: Final = "; put it into a module whose forward takes the input alone"
_LINES: Final = "; calibration was taken as (N, C, L): pictures are (N, C, H, W), of a list torch.stack(list)"
_SIZES: Final = {"in_channels": ("channels", 1), "num_features": ("channels", 1), "in_features": ("features", -1)}
"""Attributes of torch's layers that say a size of their input: what it counts, and on which axis."""


def plain_module(network: object) -> nn.Module:
    """A copy of a network in evaluation mode, float32 on the CPU, without wrappers.

    Args:
        network: a torch module.

    Raises:
        InputError: it is something else; the message says what to pass instead.
        UnsupportedLayerError: it cannot be copied, or its weights are no real numbers.
    """
    for kind, what, instead in _INSTEAD:
        if isinstance(network, kind):
            raise InputError(f"network: expected a torch module, found {what}: pass {instead}")
    if not isinstance(network, nn.Module):
        hint = ": put it into forward of an nn.Module" if callable(network) else ""
        raise InputError(f"network: expected a torch module, found {type(network).__name__}{hint}")
    bare = unwrapped(network)
    _check_parts(bare)
    try:
        copied = duplicate(bare)
        for part in list(copied.modules()):
            for name, child in part.named_children():
                setattr(part, name, unwrapped(child))
        return copied.eval().cpu().float().requires_grad_(False)
    except Exception as error:  # a module's own code runs in a copy and in a conversion
        raise UnsupportedLayerError(f"{type(bare).__name__}: cannot be copied: {one_line(error)}") from error


def unwrapped(module: nn.Module) -> nn.Module:
    """A module without what torch puts around it."""
    while type(module).__name__ in _WRAPPERS and type(module).__module__.startswith("torch."):
        module = getattr(module, _WRAPPERS[type(module).__name__])
    return module


def _check_parts(module: nn.Module) -> None:
    """Look at every part; the layers' own rules come later."""
    for name, child in module.named_modules():
        if isinstance(child, torch.jit.ScriptModule):
            raise InputError(f"layer {name}: expected a torch module, found TorchScript: pass the Python module")
        if "quantized" in type(child).__module__:
            raise UnsupportedLayerError(
                f"layer {name}: expected real weights, found {type(child).__name__}: pass it before quantisation"
            )
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if nn.parameter.is_lazy(tensor):
            raise UnsupportedLayerError(f"{name}: expected a weight, found a lazy one: run the network once before")
        if tensor.is_meta:
            raise UnsupportedLayerError(f"{name}: expected a weight, found none (device meta): load the weights first")
        if tensor.is_complex():
            raise UnsupportedLayerError(f"{name}: expected a real weight, found {tensor.dtype}")
        if tensor.is_floating_point() and tensor.layout == torch.strided and not tensor.detach().isfinite().all():
            raise UnsupportedLayerError(f"{name}: expected finite weights")


def try_out(module: nn.Module, inputs: NDArray[np.float32], shape: tuple[int, ...]) -> object:
    """What the network gives for inputs (N, ...), once, before anything is made of it; ``shape``: of one, as given.

    Raises:
        InputError: it fails on inputs of that shape: the message says which layer takes what.
    """
    batch = torch.from_numpy(np.ascontiguousarray(inputs))
    try:
        with torch.no_grad():
            return module(batch)
    except Exception as error:  # whatever a module's code raises
        reason = _mismatch(module, batch) or one_line(error)
        hints = (_ARGUMENTS if "required positional argument" in reason else "") + (_LINES if len(shape) == 2 else "")
        raise InputError(
            f"{type(module).__name__}: expected a network that takes inputs of shape {shape}: {reason}"
            f"{code_line(error)}{hints}"
        ) from error


def _mismatch(module: nn.Module, batch: Tensor) -> str:
    """The layer that does not take what reaches it, with the size that it expects; empty where it is none of these."""
    entered: list[tuple[str, nn.Module, object]] = []

    def enter(name: str, part: nn.Module, given: tuple[object, ...]) -> None:
        entered.append((name, part, given[0] if given else None))

    def leave(part: nn.Module, given: object, result: object) -> None:
        entered.pop()

    handles = [part.register_forward_pre_hook(partial(enter, name)) for name, part in module.named_modules()]
    handles += [part.register_forward_hook(leave) for part in module.modules()]
    try:
        with torch.no_grad():
            module(batch)
    except Exception:  # the one that is to be explained
        pass
    finally:
        for handle in handles:
            handle.remove()
    if not entered:
        return ""
    name, part, x = entered[-1]
    for attribute, (what, axis) in _SIZES.items():
        wanted = getattr(part, attribute, None)
        if isinstance(wanted, int) and isinstance(x, Tensor) and x.ndim > 1 and x.shape[axis] != wanted:
            return f"layer {name or 'of the network'}: expected {wanted} {what}, found {x.shape[axis]}"
    return ""


def one_line(error: BaseException) -> str:
    """An error of somebody else's code, in one line of readable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def code_line(error: BaseException) -> str:
    """Where in somebody else's code, or nothing."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if not re.search(r"/torch/|pi_system/export/", f.filename)
    ]
    return f" ({frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line})" if frames else ""
