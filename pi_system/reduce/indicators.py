"""Gates in the place of a network's ReLUs while a method looks for the positions to keep.

A indicator's granularity says what one entry of it decides on: a ``pixel`` (channel, row, column), a whole
``channel``, or a whole ``layer``. Positions that are inactive already stay so.
"""

from typing import Any

import torch
from torch import Tensor, nn

from pi_system.errors import ConfigError
from pi_system.reduce.importance import Measure, make_measure
from pi_system.train.relu import MaskedReLU

# One in so many pictures of a batch is looked at for importance: all of them make a step a third slower.
_SAMPLED = 4


def indicator_shape(relu: MaskedReLU, granularity: str) -> tuple[int, int, int]:
    """Shape of a indicator's entries, which broadcasts to the ReLU's (C, H, W).

    Raises:
        ConfigError: unknown granularity.
    """
    channels, height, width = relu.shape
    shapes = {"pixel": (channels, height, width), "channel": (channels, 1, 1), "layer": (1, 1, 1)}
    if granularity not in shapes:
        raise ConfigError(f"granularity: expected one of {', '.join(shapes)}; found {granularity!r}")
    return shapes[granularity]


class Indicator(nn.Module):
    """A stand-in for ``relu``; ``allowed`` holds the positions that were active, bool (C, H, W)."""

    allowed: Tensor

    def __init__(self, relu: MaskedReLU, granularity: str) -> None:
        """Remember the ReLU and its present mask."""
        super().__init__()
        self.relu = relu
        self.shape = indicator_shape(relu, granularity)
        self.register_buffer("allowed", relu.mask.clone(), persistent=False)

    def scores(self) -> Tensor:
        """What each entry is worth keeping for, float tensor of ``shape``."""
        raise TypeError(f"{type(self).__name__} has no scores")


class SoftIndicator(Indicator):
    """alpha ReLU(x) + (1 - alpha) x with a trained alpha that starts at 1, as in SNL."""

    def __init__(self, relu: MaskedReLU, granularity: str) -> None:
        """Start as the ReLU itself."""
        super().__init__(relu, granularity)
        self.alpha = nn.Parameter(torch.ones(1, *self.shape, device=relu.mask.device))

    def forward(self, x: Tensor) -> Tensor:
        """Apply to x of shape (N, C, H, W)."""
        factor = (self.alpha * self.allowed).to(x.dtype)
        # Laid out as activations are: another order in memory is several times slower.
        factor = factor.contiguous(memory_format=torch.channels_last)
        return torch.addcmul(x, x.clamp(max=0), factor, value=-1)

    def scores(self) -> Tensor:
        """Alpha."""
        return self.alpha.detach()[0]


class HardIndicator(Indicator):
    """The ReLU with its present mask; every backward pass tells ``measure`` what passed."""

    kept: Tensor
    cost: Tensor

    def __init__(
        self, relu: MaskedReLU, granularity: str, importance: str = "fisher", generator: torch.Generator | None = None
    ) -> None:
        """Start as the ReLU itself; ``importance`` names the measure, see ``importance``."""
        super().__init__(relu, granularity)
        self.measure = make_measure(importance, relu.mask, self.shape, generator)
        self.register_buffer("kept", relu.mask.clone())
        self.register_buffer("cost", relu.mask.float().sum_to_size(self.shape).clamp(min=1), persistent=False)
        self.register_load_state_dict_post_hook(_restore)  # type: ignore[no-untyped-call]

    def set_mask(self, mask: Tensor) -> None:
        """Set which positions are ReLUs now, bool (C, H, W)."""
        self.kept = mask
        self.relu.set_mask(mask)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to x of shape (N, C, H, W)."""
        if not torch.is_grad_enabled():
            return self.relu(x)  # type: ignore[no-any-return]
        floor = self.relu.floor.to(x.dtype)
        return _HardReLU.apply(x, floor, self.measure)  # type: ignore[no-any-return,no-untyped-call]

    def scores(self) -> Tensor:
        """Importance, by ReLU."""
        return self.measure.by_relu(self.cost)


def _restore(indicator: HardIndicator, _keys: object) -> None:
    """After loading a checkpoint the ReLU has the mask it had when that was saved."""
    indicator.relu.set_mask(indicator.kept)


class _HardReLU(torch.autograd.Function):
    """max(x, floor), whose backward pass feeds the measure."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, floor: Tensor, measure: Measure) -> Tensor:
        ctx.save_for_backward(x, floor)
        ctx.measure = measure
        return torch.clamp(x, min=floor)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, floor = ctx.saved_tensors
        (grad,) = grads
        part = -(-len(x) // _SAMPLED)
        ctx.measure.observe(x[:part], grad[:part])
        return grad * (x >= floor), None, None
