"""ReLU reuse: a layer's ReLUs are on one of N contiguous groups of channels, and the other groups reuse what it gives.

With groups x_1 ... x_N of equal size and a = ReLU(x_N) the layer gives (x_1 + a, ..., x_{N-1} + a, a). Where the number
of channels is no multiple of N, the last group has floor(C / N) of them and the others take its channels in turn. The
sum is a fixed 1x1 convolution after the masked ReLU, so export needs nothing new: it merges into the convolution that
follows, unless a shortcut reads the layer, too.

Source: Jha and Reagen, TMLR 2024, arXiv 2304.10593, ReLU-reuse. Known of it: N contiguous groups, ReLUs on one, the
others reuse it, information lost as N grows. Not verified, our choice: that reuse is this sum, and the last group.
"""

import torch
from torch import Tensor, nn

from pi_system.train.relu import MaskedReLU, named_relus


def group_mask(shape: tuple[int, int, int], groups: int) -> Tensor:
    """Bool (C, H, W): the last of so many groups of channels, at least one channel."""
    kept = max(shape[0] // groups, 1)
    return (torch.arange(shape[0], device="cpu") >= shape[0] - kept)[:, None, None].expand(shape)


class ReusedReLU(nn.Module):
    """The ReLU of a layer, and the sum that hands it on; a layer without active ReLUs passes its input on."""

    def __init__(self, relu: MaskedReLU, groups: int) -> None:
        """Turn off the ReLUs of all groups but the last."""
        super().__init__()
        channels = relu.shape[0]
        kept = max(channels // groups, 1)
        relu.set_mask(group_mask(relu.shape, groups))
        self.relu = relu
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)
        self.mix.weight.requires_grad_(False)
        if not self.mix.weight.is_meta:
            weight = torch.eye(channels)
            others = torch.arange(channels - kept)
            weight[others, channels - kept + others % kept] = 1
            self.mix.weight.copy_(weight[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Apply to x of shape (N, C, H, W)."""
        if isinstance(self.relu, MaskedReLU) and self.relu.active == 0:
            return x
        return self.mix(self.relu(x))  # type: ignore[no-any-return]


def use_reuse(network: nn.Module, groups: int) -> None:
    """Put a ReusedReLU in the place of every ReLU of ``network``, in place."""
    for name, relu in named_relus(network).items():
        network.set_submodule(name, ReusedReLU(relu, groups))
