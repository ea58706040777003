"""The state of an unfinished training run in one safetensors file: tensors, and JSON in its header.

One file, replaced in one step, so that tensors and counters always belong together; no pickle.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pi_system.errors import ConfigError, InputError
from pi_system.train.files import write_atomic

_SCHEMA = 2


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """Where a run stands: at step ``step`` of epoch ``epoch``, both from 0.

    ``model`` and ``best`` are tensors by parameter or buffer name, ``optimizer`` by parameter name and the
    optimizer's own key, as ``fc.weight|exp_avg``; ``best`` is the model of the best epoch so far by validation,
    ``average`` the moving average of the weights, where there is one. ``loss_sum`` runs over the steps of the
    unfinished epoch. ``history`` has one entry a finished epoch.
    """

    identity: dict[str, Any]
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    best: dict[str, Tensor]
    average: dict[str, Tensor] = field(default_factory=dict)
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the state; ``identity`` says whose it is."""
        groups = {"model": self.model, "optimizer": self.optimizer, "best": self.best, "average": self.average}
        tensors = {
            f"{group}.{name}": tensor.detach().cpu().contiguous()
            for group, named in groups.items()
            for name, tensor in named.items()
        }
        header = {
            "schema": _SCHEMA,
            "identity": self.identity,
            "epoch": self.epoch,
            "step": self.step,
            "loss_sum": self.loss_sum,
            "history": self.history,
        }
        write_atomic(path, save(tensors, metadata={"checkpoint": json.dumps(header)}))

    @classmethod
    def load(cls, path: Path, identity: dict[str, Any]) -> "Checkpoint":
        """Read a state.

        Raises:
            InputError: the file is damaged or of another schema.
            ConfigError: it is of a run with another identity; the message names the first difference.
        """
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})["checkpoint"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise InputError(f"{path}: expected a training checkpoint; {error}") from error
        if header.get("schema") != _SCHEMA:
            raise InputError(f"{path}: expected schema {_SCHEMA}; found {header.get('schema')}")
        for key, value in json.loads(json.dumps(identity)).items():
            if header["identity"].get(key) != value:
                raise ConfigError(f"{path}: expected a run with {key}={value}; found {header['identity'].get(key)}")
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "best": {}, "average": {}}
        for name, tensor in tensors.items():
            group, _, key = name.partition(".")
            groups[group][key] = tensor
        return cls(
            identity=identity,
            **groups,
            epoch=header["epoch"],
            step=header["step"],
            loss_sum=header["loss_sum"],
            history=header["history"],
        )
