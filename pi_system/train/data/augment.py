"""From stored pictures to network input: random crop and flip for training, normalisation for both.

Crop and flip are one gather of whole pixels over the batch, on the device of the pictures; what is random
comes from a generator the caller seeds, so a batch is the same on every run.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from pi_system.artifact.preprocess import Preprocess


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Shift by up to ``pad`` pixels each way, and mirror half of the pictures.

    From outside come in zeros, or with ``border`` reflect the picture's mirror image, without its edge twice.
    """

    pad: int
    flip: bool
    border: Literal["zeros", "reflect"] = "zeros"

    def with_border(self, border: Literal["zeros", "reflect"]) -> "Augmentation":
        """With zeros as it is; with reflect half as far, rounded up: what comes in is no longer empty."""
        pad = self.pad if border == "zeros" else -(-self.pad // 2)
        return replace(self, pad=pad, border=border)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """(pixel / 255 - mean) / std, as one multiplication and one addition; tensors are float32 (C, 1, 1)."""

    scale: Tensor
    shift: Tensor

    @classmethod
    def of(cls, preprocess: Preprocess, device: torch.device) -> "Normalisation":
        """Take mean and standard deviation from a preprocessing description."""
        mean, std = torch.tensor([preprocess.mean, preprocess.std], device=device)[..., None, None]
        return cls(1 / (255 * std), -mean / std)

    def __call__(self, images: Tensor) -> Tensor:
        """Turn uint8 (N, H, W, C) into float32 (N, C, H, W), channels-last in memory."""
        return images.permute(0, 3, 1, 2).float().mul_(self.scale).add_(self.shift)


def augment(images: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Crop and flip uint8 (N, H, W, C) at random.

    Args:
        images: the batch.
        how: what to do.
        generator: a CPU generator, whatever the device of the batch.
    """
    count, height, width, _ = images.shape
    device = images.device
    offset = torch.randint(0, 2 * how.pad + 1, (2, count, 1), generator=generator).to(device)
    rows = torch.arange(height, device=device) + offset[0]  # (N, H)
    columns = torch.arange(width, device=device) + offset[1]  # (N, W)
    if how.flip:
        mirror = torch.randint(0, 2, (count, 1), generator=generator).to(device).bool()
        columns = torch.where(mirror, columns.flip(1), columns)
    if how.border == "reflect":
        rows, columns = _reflected(rows - how.pad, height), _reflected(columns - how.pad, width)
        padded = images
    else:
        padded = torch.nn.functional.pad(images, (0, 0, how.pad, how.pad, how.pad, how.pad))
    return padded[torch.arange(count, device=device)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _reflected(position: Tensor, size: int) -> Tensor:
    """Positions outside 0 to size - 1, by less than size, mirrored into it."""
    return (size - 1) - ((size - 1) - position.abs()).abs()
