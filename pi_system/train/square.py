"""The quadratic activation: x * x in the place of a ReLU, one product instead of a comparison.

There is nothing to learn in it: a learnable a x^2 + b x + c with a > 0 is (s x + t)^2 + u. The affine map s x + t is
the batch normalisation (or the bias) before it and u the bias after it, and both are there already, per channel.

What matters is where on the parabola a network starts. A square turns a tail into a longer tail, and behind a
residual sum nothing normalises: with normalised values around 0 peaks reach 200 standard deviations by the middle of
a ResNet18, and it does not train. Around 1, with a small variance, a square is close to a straight line. On 8x8
digits (m=4, 8 epochs) that is the difference between 97 %, as with ReLUs, and a loss that overflows. Dividing by 2^4
lets a shortcut fade instead of grow, block by block; a power of two costs nothing in fixed point.

Sources: Delphi (Mishra et al., eprint 2020/050) for squares in place of ReLUs in private inference; scale, shift
and division are our own, measured as said.
"""

from torch import Tensor, nn

from pi_system.errors import ConfigError

HALVINGS = 4
START_SCALE, START_SHIFT = 0.25, 1.0
"""Of the batch normalisations of a network with squares, before training."""


class Square(nn.Module):
    """x * x / 2^halvings at every position of x (N, C, H, W) or (N, C)."""

    def __init__(self, halvings: int = HALVINGS) -> None:
        """Raises ConfigError outside 0..16."""
        super().__init__()
        if not 0 <= halvings <= 16:
            raise ConfigError(f"square: expected 0 to 16 halvings, found {halvings}")
        self.halvings = halvings

    def forward(self, x: Tensor) -> Tensor:
        """Apply to x."""
        return x * x * 2.0**-self.halvings

    def extra_repr(self) -> str:
        """Halvings, for ``print(network)``."""
        return f"halvings={self.halvings}"
