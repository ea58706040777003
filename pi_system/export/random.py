"""Artifacts with random weights, for benchmarks: the shape of a network without its training."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pi_system.artifact.model import Artifact
from pi_system.artifact.preprocess import Preprocess
from pi_system.export.exporter import export_network, lower
from pi_system.export.quantise import QuantiseOptions
from pi_system.train.square import START_SCALE, START_SHIFT, Square

_MEAN, _STD = 0.5, 0.25
_ANY = QuantiseOptions(allow_inexact=True)
"""What weights without training give is measured, not believed."""


def random_pictures(shape: tuple[int, ...], count: int, seed: int) -> NDArray[np.float32]:
    """``count`` pictures of uniform pixels, normalised: float32 (count, C, H, W) in [-2, 2]."""
    pixels = np.random.default_rng(seed).random((count, *shape), dtype=np.float32)
    return np.asarray((pixels - _MEAN) / _STD, dtype=np.float32)


def randomise(module: nn.Module, shape: tuple[int, int, int], seed: int) -> nn.Module:
    """A copy of ``module`` with He-initialised weights and batch statistics taken from random pictures.

    In a network with squares batch normalisation also scales and shifts as it does before training, so that values
    neither vanish nor grow with depth.
    """
    module = copy.deepcopy(module).cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        norms = [child for child in module.modules() if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d)]
        for child in module.modules():
            if isinstance(child, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(child.weight, nonlinearity="relu")
                if child.bias is not None:
                    nn.init.normal_(child.bias, std=0.1)
        squares = any(isinstance(child, Square) for child in module.modules())
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the batches below
            if norm.affine:
                nn.init.normal_(norm.bias, mean=START_SHIFT if squares else 0.0, std=0.1)
                if squares:
                    nn.init.constant_(norm.weight, START_SCALE)
        module.train()
        for batch in range(2):
            module(torch.from_numpy(random_pictures(shape, 8, seed + batch)))
    return module.eval()


def random_artifact(
    module: nn.Module,
    shape: tuple[int, int, int],
    seed: int,
    name: str,
    options: QuantiseOptions | None = None,
) -> Artifact:
    """Export ``module`` with random weights for pictures of ``shape`` (C, H, W); see ``randomise``.

    Raises:
        UnsupportedLayerError: as ``export_network``.
    """
    network = randomise(module, shape, seed)
    (classes,) = lower(network, shape).graph().nodes[-1].shape
    preprocess = Preprocess(
        channels=shape[0],
        height=shape[1],
        width=shape[2],
        mean=(_MEAN,) * shape[0],
        std=(_STD,) * shape[0],
        classes=tuple(f"class {index}" for index in range(classes)),
    )
    return export_network(network, preprocess, random_pictures(shape, 16, seed + 2), name, options or _ANY)
