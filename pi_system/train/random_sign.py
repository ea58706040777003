"""A ReLU whose sign is a coin near zero, as that of a comparison of few bits, to be trained with.

In a window |x| < w / 2 the value is kept with probability 1/2 + x / w, outside of it by its sign: the distribution of
the secure gate (protocols/gate.py) and of the interpreters (program/random_sign.py). The gradient goes straight through
the sign, as if it were a constant: 1 where the value was kept, 0 where it was not.

Coins are drawn anew in every forward pass, of validation, too. How many passes there were is in the network's state, so
a run that goes on draws the same ones.
"""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pi_system.errors import ConfigError
from pi_system.train.mixed import mixed_activations
from pi_system.train.parallel import rank
from pi_system.train.relu import MaskedReLU, named_relus


class RandomSignReLU(nn.Module):
    """Stands in the place of ``relu``, whose mask it follows.

    Attributes:
        draws: forward passes so far.
    """

    draws: Tensor

    def __init__(self, relu: MaskedReLU, width: float, seed: str) -> None:
        """Draw signs in the window of this ``width``; ``seed`` and the number of the pass give the coins."""
        super().__init__()
        self.relu, self.width, self.seed = relu, width, seed
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64, device=relu.mask.device))

    def forward(self, x: Tensor) -> Tensor:
        """Apply to x of shape (N, C, H, W)."""
        self.draws += 1
        name = f"{self.seed}/{rank()}/{int(self.draws)}".encode()
        coins = torch.Generator(x.device).manual_seed(int.from_bytes(hashlib.sha256(name).digest()[:4]))
        drawn = torch.empty_like(x, dtype=torch.float32).uniform_(-0.5, 0.5, generator=coins)
        dropped = torch.addcmul(x.detach().float(), drawn, torch.tensor(self.width, device=x.device)) < 0
        return x.masked_fill(dropped if self.relu.active == self.relu.size else dropped & self.relu.mask, 0.0)

    def extra_repr(self) -> str:
        """The window, for ``print(network)``."""
        return f"width={self.width:g}"


def insert_random_signs(network: nn.Module, windows: Mapping[str, float], seed: int) -> dict[str, RandomSignReLU]:
    """Put one in the place of every ReLU layer that has a window, by module path; in place.

    Raises:
        ConfigError: a window is for no ReLU layer, or the network has mixed activations, whose ReLUs are not these.
    """
    relus = named_relus(network)
    if mixed := list(mixed_activations(network)):
        raise ConfigError(f"network: expected ReLUs and identities alone; found mixed activations in {mixed[0]}")
    if unknown := sorted(windows.keys() - relus.keys()):
        raise ConfigError(f"random signs: expected names of ReLU layers; found {', '.join(unknown)[:128]}")
    signs = {name: RandomSignReLU(relus[name], width, f"{seed}/{name}") for name, width in windows.items() if width}
    for name, sign in signs.items():
        network.set_submodule(name, sign)
    return signs


def remove_random_signs(network: nn.Module, signs: Mapping[str, RandomSignReLU]) -> None:
    """Put the ReLUs back."""
    for name, sign in signs.items():
        network.set_submodule(name, sign.relu)
