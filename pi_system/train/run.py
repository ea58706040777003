"""The run directory: everything one training or reduction leaves behind, and what export reads.

config.json               network, data, recipe, preprocessing; of a reduction also its source and method
checkpoint.safetensors    where an unfinished training stands
metrics.jsonl             one line an epoch
network.safetensors       weights of the best epoch by validation,     } written last:
                          kinds of mixed activations (train/mixed.py)
relu_map.safetensors      active ReLUs                                 } their presence
result.json               accuracies and counts                        } means finished
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pydantic
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from pi_system.artifact.preprocess import Preprocess
from pi_system.errors import ConfigError, InputError
from pi_system.train.counting import count_network
from pi_system.train.data import DataConfig, DataSet, load_data
from pi_system.train.evaluate import evaluate
from pi_system.train.files import write_atomic
from pi_system.train.guessing import guessing_accuracy
from pi_system.train.loop import FitResult, History
from pi_system.train.mixed import load_weights, square_count
from pi_system.train.networks import Classifier, build_network
from pi_system.train.parallel import is_first
from pi_system.train.relu_map import ReluMap
from pi_system.train.spec import NetworkSpec

_SCHEMA = 1


class LoadedRun(NamedTuple):
    """A finished run: the network in evaluation mode with its ReLU map applied."""

    network: Classifier
    spec: NetworkSpec
    relu_map: ReluMap
    preprocess: Preprocess


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One run directory, by path."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """The file an unfinished training resumes from."""
        return self.path / "checkpoint.safetensors"

    @property
    def finished(self) -> bool:
        """Whether the run has its result."""
        return (self.path / "result.json").is_file()

    def claim(self, data: DataConfig, **settings: Any) -> None:
        """Write config.json, or see that the run there is the same one, to be resumed.

        A config.json with nothing beside it is of a run that failed at once, and is replaced.

        Raises:
            ConfigError: the directory holds another run.
        """
        if self.finished and not (self.path / "config.json").is_file():
            raise ConfigError(f"{self.path}: holds results without a config.json; name another directory")
        wanted = json.loads(json.dumps({"schema": _SCHEMA, "data": data.recorded(), **settings}))
        if (self.path / "config.json").is_file() and len(list(self.path.iterdir())) > 1:
            found = self.config()
            different = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
            if different:
                raise ConfigError(
                    f"{self.path}: holds a run with another {', '.join(different)}; name another directory"
                )
        write_atomic(self.path / "config.json", json.dumps(wanted, indent=2) + "\n")

    def config(self) -> dict[str, Any]:
        """Read config.json.

        Raises:
            InputError: there is no such file, or it is of another schema.
        """
        return _read_json(self.path / "config.json")

    def data_config(self) -> DataConfig:
        """Which data the run was trained on; a reduction must use the same split.

        Raises:
            InputError: config.json is missing or damaged.
        """
        try:
            return DataConfig(**self.config()["data"])
        except (KeyError, TypeError) as error:
            raise InputError(f"{self.path / 'config.json'}: expected a data entry; {error}") from error

    def result(self) -> dict[str, Any]:
        """Read result.json of a finished run.

        Raises:
            InputError: the run is not finished.
        """
        return _read_json(self.path / "result.json")

    def record(self, history: History) -> None:
        """Replace the lines of metrics.jsonl that belong to the history's phase."""
        file = self.path / "metrics.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
        kept = [line for line in lines if line["phase"] != history[0]["phase"]]
        write_atomic(file, "".join(json.dumps(line) + "\n" for line in [*kept, *history]))

    def finish(
        self, network: Classifier, spec: NetworkSpec, data: DataSet, fitted: FitResult, **report: Any
    ) -> dict[str, Any]:
        """Measure the test accuracy, once and in float32, and write the results.

        Returns:
            What result.json holds.
        """
        network.eval()
        relu_map = ReluMap.of(network)
        counts = count_network(network, (spec.channels, spec.size, spec.size))
        result = {
            "schema": _SCHEMA,
            "network": str(spec),
            "relus": relu_map.count,
            "relu_positions": relu_map.size,
            "relu_layers": counts.relu_layers,
            "squares": square_count(network),
            "macs": counts.macs,
            "parameters": counts.parameters,
            "best_epoch": fitted.best_epoch,
            "validation_accuracy": fitted.validation.accuracy,
            "test_accuracy": evaluate(network, data.test, data.preprocess).accuracy,
            "guessing_accuracy": guessing_accuracy(data.test.labels),
            "preprocess": data.preprocess.model_dump(mode="json"),
            **report,
        }
        weights = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
        write_atomic(self.path / "network.safetensors", save(weights))
        relu_map.save(self.path / "relu_map.safetensors")
        write_atomic(self.path / "result.json", json.dumps(result, indent=2) + "\n")
        if is_first():
            self.checkpoint.unlink(missing_ok=True)
        return result

    def load(self) -> LoadedRun:
        """Read a finished run on the CPU.

        Raises:
            InputError: the run is not finished or a file is damaged.
        """
        result = self.result()
        file = self.path / "network.safetensors"
        try:
            spec = NetworkSpec.parse(result["network"])
            preprocess = Preprocess(**result["preprocess"])
            network = build_network(spec, seed=0)
            load_weights(network, load_file(file))
        except (OSError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{file}: expected the weights of {result.get('network')}; {reason}") from error
        except (pydantic.ValidationError, ConfigError) as error:
            raise InputError(f"{self.path / 'result.json'}: {str(error).splitlines()[0]}") from error
        relu_map = ReluMap.load(self.path / "relu_map.safetensors")
        relu_map.apply(network)
        return LoadedRun(network.eval(), spec, relu_map, preprocess)

    def evaluate(self, part: str) -> dict[str, Any]:
        """Accuracy of a finished run on its ``validation`` or ``test`` pictures, in float32."""
        network, spec, relu_map, preprocess = self.load()
        data = load_data(self.data_config())
        network.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        pictures = data.test if part == "test" else data.validation
        score = evaluate(network, pictures, preprocess)
        return {
            "network": str(spec),
            "relus": relu_map.count,
            "part": part,
            "pictures": len(pictures),
            "accuracy": score.accuracy,
            "loss": -score.negated_loss,
        }


def load_run(path: Path) -> LoadedRun:
    """Read a finished run directory: (network, spec, relu_map, preprocess), on the CPU.

    Raises:
        InputError: it is not one, not finished, or damaged.
    """
    return RunDirectory(path).load()


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
        schema = content["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: expected a run directory, finished for this use; {error}") from error
    if schema != _SCHEMA:
        raise InputError(f"{file}: expected schema {_SCHEMA}; found {schema}")
    return dict(content)
