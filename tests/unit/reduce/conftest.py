"""The digits, and a small network trained on them, as cheaply as possible."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from pi_system.reduce import ReductionTask
from pi_system.train import DataConfig, DataSet, NetworkSpec, TrainConfig, build_network, fit, load_data

TINY = "resnet18:m=2"


@pytest.fixture(scope="package")
def digits() -> DataSet:
    return load_data(DataConfig(name="digits"))


@pytest.fixture(scope="package")
def few_digits(digits: DataSet) -> DataSet:
    return replace(digits, train=digits.train.subset(torch.arange(128)))


@pytest.fixture(scope="package")
def make_task(few_digits: DataSet) -> Any:
    """A task on an untrained network: what is tested needs no accuracy."""

    def make(budget: Any, network: Any = TINY, data: Any = few_digits, epochs: int = 2, **settings: Any) -> Any:
        spec = NetworkSpec.parse(network, **data.context)
        recipe = TrainConfig(epochs=epochs, batch_size=64, learning_rate=0.02, device="cpu")
        defaults = {"network": build_network(spec, seed=0), "finetune": recipe}
        return ReductionTask(spec=spec, data=data, budget=budget, **{**defaults, **settings})

    return make


@pytest.fixture(scope="package")
def trained(digits: DataSet) -> Any:
    """ResNet18 of width 4, 2,176 ReLUs, with about 95 % on the digits."""
    network = build_network(NetworkSpec.parse("resnet18:m=4", **digits.context), seed=0)
    fit(network, digits, TrainConfig(epochs=10, batch_size=32, device="cpu"))
    return network
