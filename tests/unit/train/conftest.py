"""A small slice of the digits, and a network small enough to train in a moment."""

from dataclasses import replace

import pytest
import torch

from pi_system.train import DataConfig, DataSet, ResNet, load_data


@pytest.fixture(scope="session")
def digits() -> DataSet:
    data = load_data(DataConfig(name="digits"))
    return replace(data, train=data.train.subset(torch.arange(640)))


@pytest.fixture
def tiny() -> ResNet:
    torch.manual_seed(1)
    return ResNet((4, 8), (1, 1), in_channels=1, classes=10, size=8)
