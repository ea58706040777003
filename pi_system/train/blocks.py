"""Blocks of the networks: (N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride)).

ReLUs are declared in the order of execution, on which ``named_relus`` relies. ``form`` 1 builds the shallow form of a
block: its inner ReLU is gone and one convolution stands for the two around it, of 3x3, or, as form 3, of the size of
their exact product: 5x5, with stride 2 7x7.

Sources: He et al., CVPR 2016, arXiv 1512.03385 (basic, bottleneck; the stride is on the 3x3 convolution, as in
later code); Zagoruyko and Komodakis, BMVC 2016, arXiv 1605.07146 (pre-activation).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pi_system.train.relu import MaskedReLU


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a block stands: ``size`` is the height and width of its input, ``stage`` counts from 1."""

    stage: int
    block: int
    size: int
    stride: int

    @property
    def out_size(self) -> int:
        """Height and width of the output."""
        return -(-self.size // self.stride)

    def relu(self, channels: int, size: int | None = None) -> MaskedReLU:
        """A ReLU of this block, at its output's size unless said otherwise."""
        side = self.out_size if size is None else size
        return MaskedReLU((channels, side, side), stage=self.stage, block=self.block)


class Pointwise(nn.Conv2d):
    """1x1 convolution (N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride)) without a bias.

    Where gradients are asked for, the pixels between are left out first: the gradient that torch 2.13 (oneDNN 3.12)
    computes of such weights with a stride, fewer than eight input channels and the channels last writes outside of its
    memory on CPUs without AVX-512.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        """As nn.Conv2d, of which it is one for all who look at it."""
        super().__init__(c_in, c_out, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        if self.stride == (1, 1) or not torch.is_grad_enabled():
            return super().forward(x)
        return functional.conv2d(x[..., :: self.stride[0], :: self.stride[1]], self.weight)


def conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the size up to its stride, and batch normalisation."""
    if kernel == 1:
        return nn.Sequential(Pointwise(c_in, c_out, stride), nn.BatchNorm2d(c_out))
    conv = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))


def merged_kernel(form: int, stride: int) -> int:
    """Side of the first convolution's kernel in a block of this form."""
    return 2 * stride + 3 if form == 3 else 3


def _shortcut(c_in: int, c_out: int, stride: int) -> nn.Module:
    return nn.Identity() if stride == 1 and c_in == c_out else conv_bn(c_in, c_out, 1, stride)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, or one, with a shortcut; a ReLU between them and one after the addition."""

    def __init__(self, c_in: int, c_out: int, place: Place, form: int = 2) -> None:
        """Build the block."""
        super().__init__()
        kernel = merged_kernel(form, place.stride)
        self.conv1 = nn.Conv2d(c_in, c_out, kernel, stride=place.stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        deep = form == 2
        self.relu1 = place.relu(c_out) if deep else nn.Identity()
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False) if deep else nn.Identity()
        self.bn2 = nn.BatchNorm2d(c_out) if deep else nn.Identity()
        self.shortcut = _shortcut(c_in, c_out, place.stride)
        self.relu2 = place.relu(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y)) + self.shortcut(x)
        return self.relu2(y)  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut; C_out is four times the width inside."""

    EXPANSION = 4

    def __init__(self, c_in: int, width: int, place: Place) -> None:
        """Build the block."""
        super().__init__()
        c_out = self.EXPANSION * width
        self.conv1, self.bn1 = conv_bn(c_in, width, 1)
        self.relu1 = place.relu(width, place.size)
        self.conv2, self.bn2 = conv_bn(width, width, 3, place.stride)
        self.relu2 = place.relu(width)
        self.conv3, self.bn3 = conv_bn(width, c_out, 1)
        self.shortcut = _shortcut(c_in, c_out, place.stride)
        self.relu3 = place.relu(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.relu2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y)) + self.shortcut(x)
        return self.relu3(y)  # type: ignore[no-any-return]


class PreActivationBlock(nn.Module):
    """Normalisation and ReLU before each of two 3x3 convolutions, or of one; no ReLU after the addition.

    Where the width or size changes, the shortcut starts after the first ReLU.
    """

    def __init__(self, c_in: int, c_out: int, place: Place, form: int = 2) -> None:
        """Build the block."""
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.relu1 = place.relu(c_in, place.size)
        kernel, deep = merged_kernel(form, place.stride), form == 2
        # The shallow form has a bias: no normalisation follows that could carry the shift of the one it had inside.
        self.conv1 = nn.Conv2d(c_in, c_out, kernel, stride=place.stride, padding=kernel // 2, bias=not deep)
        self.bn2 = nn.BatchNorm2d(c_out) if deep else nn.Identity()
        self.relu2 = place.relu(c_out) if deep else nn.Identity()
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False) if deep else nn.Identity()
        self.projects = place.stride != 1 or c_in != c_out
        self.shortcut = Pointwise(c_in, c_out, place.stride) if self.projects else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        start = self.relu1(self.bn1(x))
        y = self.conv2(self.relu2(self.bn2(self.conv1(start))))
        return y + self.shortcut(start if self.projects else x)  # type: ignore[no-any-return]
