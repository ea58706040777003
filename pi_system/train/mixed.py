"""An activation layer in which every position has a kind of its own: ReLU, a polynomial, identity or zero.

It stands in the place of a MaskedReLU, and is one: its mask are the positions that are ReLUs, so ReLU maps, counts and
budgets mean what they always do. Which kind each other position has, and a x^2 + b x + c of each channel, are in the
network's weights; ``load_weights`` puts such layers in place before it reads them.

While ``swap`` is r > 0, a polynomial is (1 - r) p(x) + r ReLU(x), so that a trained network can go over from one to the
other gradually; only r = 0 can be exported.

Source: Mishra et al., eprint 2020/050 (Delphi), and mc2-project/delphi: the swap and ``DELPHI``.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from pi_system.errors import ConfigError
from pi_system.train.relu import MaskedReLU, named_relus

DELPHI: Final = (0.1997, 0.5002, 0.1992)
"""a, b and c of Delphi's p(x) = a x^2 + b x + c."""


class Kind(IntEnum):
    """What a position computes."""

    IDENTITY = 0
    RELU = 1
    QUADRATIC = 2
    """a x^2 + b x + c."""
    LINEAR = 3
    """b x + c."""
    ZERO = 4


class MixedActivation(MaskedReLU):
    """A layer of mixed kinds; starts with those of ``relu``, and with Delphi's polynomial in every channel.

    Attributes:
        kinds: of every position, uint8 (C, H, W), see ``Kind``.
        coefficients: a, b and c of every channel, (C, 3).
        swap: r, a scalar.
    """

    kinds: Tensor
    swap: Tensor

    def __init__(self, relu: MaskedReLU) -> None:
        """Take the place of ``relu``."""
        super().__init__(relu.shape, stage=relu.stage, block=relu.block)
        device = relu.mask.device
        self.register_buffer("kinds", relu.mask.to(torch.uint8))
        self.register_buffer("swap", torch.zeros((), device=device))
        self.coefficients = nn.Parameter(torch.tensor(DELPHI, device=device).repeat(relu.shape[0], 1))
        self.register_load_state_dict_post_hook(_renew)  # type: ignore[no-untyped-call]
        self.set_kinds(self.kinds)

    def set_kinds(self, kinds: Tensor) -> None:
        """Set the kind of every position, uint8 (C, H, W).

        Raises:
            ConfigError: another shape or dtype, or no such kind.
        """
        if kinds.dtype != torch.uint8 or tuple(kinds.shape) != self.shape or int(kinds.max()) > max(Kind):
            raise ConfigError(f"kinds: expected uint8 {self.shape} up to {max(Kind)}; found {tuple(kinds.shape)}")
        self.kinds = kinds.to(self.kinds.device, copy=True)
        super().set_mask(self.kinds == Kind.RELU)
        self.squares = int((self.kinds == Kind.QUADRATIC).sum())
        self._polynomial = bool(((self.kinds == Kind.QUADRATIC) | (self.kinds == Kind.LINEAR)).any())
        self._zero = bool((self.kinds == Kind.ZERO).any())

    def set_mask(self, mask: Tensor) -> None:
        """Set which positions are ReLUs; one that no longer is becomes an identity, the others keep their kind."""
        super().set_mask(mask)  # checks it
        rest = torch.where(self.kinds == Kind.RELU, int(Kind.IDENTITY), self.kinds)
        self.set_kinds(torch.where(self.mask, int(Kind.RELU), rest).to(torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        """Apply to x of shape (N, C, H, W)."""
        out: Tensor = super().forward(x)
        if self._polynomial:
            squared = self.kinds == Kind.QUADRATIC
            a, b, c = (value[:, None, None] for value in self.coefficients.to(x.dtype).unbind(1))
            found = (a * squared * x + b) * x + c
            if not self.swap.is_meta and float(self.swap):
                found = torch.lerp(found, functional.relu(x), self.swap.to(x.dtype))
            out = torch.where(squared | (self.kinds == Kind.LINEAR), found, out)
        return out.masked_fill(self.kinds == Kind.ZERO, 0.0) if self._zero else out

    def extra_repr(self) -> str:
        """Shape and counts, for ``print(network)``."""
        return f"{super().extra_repr()}, squares={self.squares}"


def _renew(layer: MixedActivation, _keys: object) -> None:
    """What follows from the kinds, after they were loaded."""
    layer.set_kinds(layer.kinds)


def mixed_activations(network: nn.Module) -> dict[str, MixedActivation]:
    """Every mixed layer of a network by module path, in the order of execution."""
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, MixedActivation)}


def square_count(network: nn.Module) -> int:
    """Positions of mixed layers that are squared."""
    return sum(layer.squares for layer in mixed_activations(network).values())


def mix(network: nn.Module, name: str) -> MixedActivation:
    """Put a mixed layer in the place of the ReLU layer ``name``, unless it is one; in place."""
    relu = network.get_submodule(name)
    if isinstance(relu, MixedActivation):
        return relu
    if not isinstance(relu, MaskedReLU):
        raise ConfigError(f"layer {name}: expected a ReLU layer; found {type(relu).__name__}")
    layer = MixedActivation(relu)
    network.set_submodule(name, layer)
    return layer


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load a network's weights, with mixed layers wherever ``weights`` have some.

    Raises:
        RuntimeError: the weights are another network's.
    """
    for name in named_relus(network):
        if f"{name}.kinds" in weights:
            mix(network, name)
    network.load_state_dict(weights)
