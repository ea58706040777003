"""The exponential moving average of a network's weights, which is what is validated and kept.

Source: Polyak and Juditsky, SIAM J. Control Optim. 30 (1992); the rising decay at the start is TensorFlow's
ExponentialMovingAverage's: without it the average would long remember the initial weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """Average of all parameters and of batch normalisation's running statistics, by name in ``values``."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start at the network's weights, which are followed from here on."""
        self._decay = decay
        statistics = {
            f"{name}.{key}": value
            for name, module in network.named_modules()
            if isinstance(module, nn.BatchNorm2d)
            for key, value in module.named_buffers(recurse=False)
            if value.is_floating_point()
        }
        self._followed: dict[str, Tensor] = {**dict(network.named_parameters()), **statistics}
        self.values = {name: value.detach().clone() for name, value in self._followed.items()}

    @torch.no_grad()
    def update(self, done: int) -> None:
        """Take in the weights after step ``done``, from 1."""
        decay = min(self._decay, (1 + done) / (10 + done))
        found = [value.detach() for value in self._followed.values()]
        get_ema_multi_avg_fn(decay)(list(self.values.values()), found, done)  # type: ignore[no-untyped-call]

    def restore(self, values: dict[str, Tensor]) -> None:
        """Go on from saved ``values``."""
        for name, value in values.items():
            self.values[name].copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it, the network holds the average."""
        own = {name: value.detach().clone() for name, value in self._followed.items()}
        self._set(self.values)
        try:
            yield
        finally:
            self._set(own)

    @torch.no_grad()
    def _set(self, values: dict[str, Tensor]) -> None:
        for name, value in self._followed.items():
            value.copy_(values[name])
