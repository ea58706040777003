"""The ReLU map: for every ReLU layer, which of its positions (channel, row, column) are active.

Every reduction method produces one, export reads one. On disk it is a safetensors file: one bool tensor
(C, H, W) a layer, and a JSON header with the layers in order of execution and their counts.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pi_system.errors import ConfigError, InputError
from pi_system.train.files import write_atomic
from pi_system.train.relu import named_relus

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class ReluMap:
    """Active positions by ReLU layer, in order of execution.

    ``masks`` maps the module path of each MaskedReLU to a bool tensor (C, H, W); layers without any active
    position are listed too. Treat the tensors as read-only.

    Raises:
        ConfigError: a mask is not a bool tensor of three dimensions.
    """

    masks: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        """Check the masks and freeze the mapping."""
        for name, mask in self.masks.items():
            if mask.dtype != torch.bool or mask.dim() != 3:
                raise ConfigError(
                    f"ReLU map, layer {name}: expected bool (C, H, W); found {mask.dtype} {tuple(mask.shape)}"
                )
        object.__setattr__(self, "masks", MappingProxyType(dict(self.masks)))

    @classmethod
    def of(cls, network: nn.Module) -> "ReluMap":
        """Read the map a network has now."""
        return cls({name: relu.mask.cpu().clone() for name, relu in named_relus(network).items()})

    @property
    def counts(self) -> dict[str, int]:
        """Active ReLUs of each layer."""
        return {name: int(mask.sum()) for name, mask in self.masks.items()}

    @property
    def count(self) -> int:
        """Active ReLUs in all."""
        return sum(self.counts.values())

    @property
    def size(self) -> int:
        """Positions in all, active or not."""
        return sum(mask.numel() for mask in self.masks.values())

    def check(self, network: nn.Module) -> None:
        """Compare layers and shapes with a network's.

        Raises:
            ConfigError: they differ; the message names the first layer that does.
        """
        expected, found = set(named_relus(network)), set(self.masks)
        if expected != found:
            raise ConfigError(
                f"ReLU map: expected the network's {len(expected)} layers; "
                f"missing {sorted(expected - found)[:3]}, unknown {sorted(found - expected)[:3]}"
            )
        for name, relu in named_relus(network).items():
            if tuple(self.masks[name].shape) != relu.shape:
                raise ConfigError(
                    f"ReLU map, layer {name}: expected {relu.shape}; found {tuple(self.masks[name].shape)}"
                )

    def apply(self, network: nn.Module) -> None:
        """Set the masks of a network.

        Raises:
            ConfigError: the map is of another network.
        """
        self.check(network)
        for name, relu in named_relus(network).items():
            relu.set_mask(self.masks[name])

    def save(self, path: Path) -> None:
        """Write the map; the file is replaced whole or not at all."""
        header = {"schema": _SCHEMA, "count": self.count, "layers": self.counts}
        write_atomic(path, save(dict(self.masks), metadata={"relu_map": json.dumps(header)}))

    @classmethod
    def load(cls, path: Path) -> "ReluMap":
        """Read a map.

        Raises:
            InputError: the file is missing, damaged, of another schema, or its counts are not its masks'.
        """
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})["relu_map"])
                result = cls({name: file.get_tensor(name) for name in header["layers"]})
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, ConfigError) as error:
            raise InputError(f"{path}: expected a ReLU map; {error}") from error
        if header["schema"] != _SCHEMA or header["layers"] != result.counts:
            raise InputError(
                f"{path}: expected schema {_SCHEMA} with {header.get('count')} ReLUs; "
                f"found schema {header['schema']} with {result.count}"
            )
        return result

    def __eq__(self, other: object) -> bool:
        """Say whether both name the same layers with equal masks."""
        if not isinstance(other, ReluMap) or list(self.masks) != list(other.masks):
            return False
        return all(torch.equal(mask, other.masks[name]) for name, mask in self.masks.items())

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """Go over (layer name, mask)."""
        return iter(self.masks.items())
