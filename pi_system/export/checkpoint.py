"""Weights from files into a network: safetensors, or what ``torch.save`` wrote, of which code is never run.

Checkpoints of training loops and of hubs name the same weights with prefixes (``module.``, ``model.``, ``backbone.``)
and lie in dictionaries of their own (``state_dict``, ``model``): what fits the network best is taken.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import safetensors.torch
import torch
from torch import Tensor, nn

from pi_system.errors import InputError
from pi_system.export.intake import one_line

_ENTRIES: Final = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "ema_state_dict")
_HUB: Final = (
    "model.safetensors",
    "model-*-of-*.safetensors",
    "*.safetensors",
    "pytorch_model.bin",
    "pytorch_model-*.bin",
    "*.bin",
    "*.pth",
    "*.pt",
)
"""Files of a hub's folder, the usual ones first: beside them lie other precisions, and states of the training."""
_COUNTERS: Final = "num_batches_tracked"
"""Of batch normalisation: no weight, and missing in older files."""
_UNDOTTED: Final = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""DenseNets of torchvision before torch forbade dots in names, as its published files still have them: ``norm.1``."""
_LOG = logging.getLogger(__name__)


def load_checkpoint(network: nn.Module, path: Path) -> None:
    """Give ``network`` the weights in a file, or in the files of a hub's folder. All of its weights must be there.

    Raises:
        InputError: the file cannot be read, or its weights are not the network's: the message names some.
    """
    found = read_weights(path)
    wanted = network.state_dict()
    renamed = _renamed(found, wanted)
    missing = [name for name in wanted if name not in renamed and not name.endswith(_COUNTERS)]
    if missing:
        raise InputError(
            f"{path}: expected the network's {len(wanted)} weights, found {len(renamed)} of them; "
            f"missing: {', '.join(missing[:3])}; in the file: {', '.join(list(found)[:3])}"
        )
    for name, tensor in renamed.items():
        if tensor.shape != wanted[name].shape:
            shapes = f"{tuple(wanted[name].shape)}, found {tuple(tensor.shape)}"
            raise InputError(f"{path}, {name}: expected a weight of shape {shapes}: is it another number of classes?")
        if tensor.is_complex() and not wanted[name].is_complex():
            raise InputError(f"{path}, {name}: expected real numbers, found {tensor.dtype}")
    if len(found) > len(renamed):
        _LOG.warning("%s: %d of %d weights are none of the network's", path, len(found) - len(renamed), len(found))
    try:
        network.load_state_dict(renamed, strict=False)
    except Exception as error:  # a module's own hooks run
        raise InputError(f"{path}: expected weights of the network: {one_line(error)}") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors by name in a file, or in the files of a hub's folder. Raises InputError: none can be read."""
    files = [path]
    if path.is_dir():
        files = next((found for pattern in _HUB if (found := sorted(path.glob(pattern)))), [])
    if not files or not files[0].is_file():
        raise InputError(f"{path}: expected a .safetensors file or one of torch.save, found none")
    weights: dict[str, Tensor] = {}
    for file in files:
        weights |= _read_safetensors(file) if file.suffix == ".safetensors" else _read_torch(file)
    if not weights:
        raise InputError(f"{path}: expected weights by name, found none")
    return {_UNDOTTED.sub(r"\1\2", name): tensor for name, tensor in weights.items()}


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return dict(safetensors.torch.load_file(file))
    except Exception as error:  # of the reader and of the file system
        raise InputError(f"{file}: expected a safetensors file: {one_line(error)}") from error


def _read_torch(file: Path) -> dict[str, Tensor]:
    try:
        return _weights_in(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # of unpickling, which meets whatever is in the file
        found = "other Python objects, or no such file" if isinstance(error, UnpicklingError) else one_line(error)
        raise InputError(
            f"{file}: expected weights alone, as torch.save(network.state_dict(), ...) writes them, found {found}"
        ) from error


def _weights_in(content: Any) -> dict[str, Tensor]:
    """The tensors by name in what a training loop saved: a known dictionary, or the only one of tensors."""
    if not isinstance(content, Mapping):
        return {}
    for entry in _ENTRIES:
        if found := _weights_in(content.get(entry)):
            return found
    weights = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    inside = [inner for entry in content.values() if (inner := _weights_in(entry))]
    return inside[0] if not weights and len(inside) == 1 else weights


def _renamed(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``found`` by the network's names: without the prefix, or with one more, that most of them fit with."""
    best: dict[str, Tensor] = {}
    for old in _prefixes(found):
        bare = {name.removeprefix(old): value for name, value in found.items() if name.startswith(old)}
        for new in _prefixes(wanted):
            fitting = {new + name: value for name, value in bare.items() if new + name in wanted}
            if len(fitting) > len(best):
                best = fitting
        if len(best) == len(wanted):
            break
    return best


def _prefixes(names: Mapping[str, Tensor]) -> list[str]:
    """Beginnings, up to a dot, that at least half of the names have; none first, then short ones."""
    counts: dict[str, int] = {"": len(names)}
    for name in names:
        parts = name.split(".")
        for length in range(1, min(len(parts), 6)):
            prefix = ".".join(parts[:length]) + "."
            counts[prefix] = counts.get(prefix, 0) + 1
    return sorted((prefix for prefix, count in counts.items() if 2 * count >= len(names)), key=len)
