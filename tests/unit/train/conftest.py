"""A small slice of the digits, and a network small enough to train in a moment."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from pi_system.train import DataConfig, DataSet, ResNet, load_data


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[Any]:
    """Networks this small only lose time to a second thread, more so when tests share the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def digits() -> DataSet:
    data = load_data(DataConfig(name="digits"))
    return replace(data, train=data.train.subset(torch.arange(640)))


@pytest.fixture
def tiny() -> ResNet:
    torch.manual_seed(1)
    return ResNet((4, 8), (1, 1), in_channels=1, classes=10, size=8)
