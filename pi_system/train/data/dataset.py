"""A data set in memory: training, validation and test pictures with what a client needs to prepare its own.

The test pictures are for the last figure only: nothing is ever chosen by them. Whatever is chosen (the best
epoch, a mask, a configuration) is chosen on the validation pictures, which are drawn from the training part.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pi_system.artifact.preprocess import Preprocess
from pi_system.errors import InputError
from pi_system.train.data.augment import Augmentation


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Pictures uint8 (N, H, W, C), the layout in which a crop copies whole pixels, and labels int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.labels)

    def subset(self, index: Tensor) -> "ImageSet":
        """Pictures at the given positions, int64 (M,)."""
        return ImageSet(self.images[index], self.labels[index])

    def to(self, device: torch.device) -> "ImageSet":
        """The same pictures on a device."""
        return ImageSet(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """Three disjoint sets of pictures, their preprocessing and the augmentation that suits them."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    preprocess: Preprocess
    augmentation: Augmentation

    @classmethod
    def build(
        cls,
        pool: ImageSet,
        test: ImageSet,
        classes: tuple[str, ...],
        *,
        augmentation: Augmentation,
        validation_fraction: float,
        split_seed: int,
        tuning_fraction: float = 0.0,
        judged_on: Literal["test", "tuning"] = "test",
    ) -> "DataSet":
        """Split a training pool and derive mean and standard deviation from its training part alone.

        The validation pictures are the same for every ``tuning_fraction``, a share of the pool, too. ``judged_on``
        tuning gives these in the place of the test pictures.

        Raises:
            InputError: a label is out of range, or no picture is left for training or validation.
        """
        for name, part in (("training", pool), ("test", test)):
            if len(part) == 0 or int(part.labels.max()) >= len(classes):
                found = f"label {int(part.labels.max())}" if len(part) else "no picture"
                raise InputError(f"{name} pictures: expected labels below {len(classes)}; found {found}")
        rest, held_out = split_by_class(pool.labels, validation_fraction, split_seed)
        if len(rest) == 0 or len(held_out) == 0:
            raise InputError(
                f"training pictures: expected enough for a {validation_fraction:.0%} validation split; "
                f"found {len(pool)}"
            )
        if tuning_fraction:
            kept, tuning = split_by_class(pool.labels[rest], tuning_fraction / (1 - validation_fraction), split_seed)
            if len(kept) == 0 or len(tuning) == 0:
                raise InputError(f"training pictures: expected enough for a {tuning_fraction:.0%} tuning split")
            rest, test = rest[kept], pool.subset(rest[tuning]) if judged_on == "tuning" else test
        train = pool.subset(rest)
        mean, std = _statistics(train.images)
        _, height, width, channels = train.images.shape
        preprocess = Preprocess(channels=channels, height=height, width=width, mean=mean, std=std, classes=classes)
        return cls(
            train=train,
            validation=pool.subset(held_out),
            test=test,
            preprocess=preprocess,
            augmentation=augmentation,
        )

    @property
    def context(self) -> dict[str, int]:
        """What the data fixes in a network's name: classes, size, channels.

        Raises:
            InputError: pictures are not square.
        """
        shape = self.preprocess
        if shape.height != shape.width:
            raise InputError(f"pictures: expected square ones; found {shape.height} x {shape.width}")
        return {"classes": len(shape.classes), "size": shape.height, "channels": shape.channels}


def split_by_class(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Hold out a fraction of each class, at least one picture of a class that has two or more.

    Returns:
        Sorted positions (rest, held out), int64.
    """
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(int(labels.max()) + 1):
        members = (labels == label).nonzero()[:, 0]
        count = max(0, min(max(1, round(fraction * len(members))), len(members) - 1))
        held_out[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return (~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0]


def _statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of pixels scaled to [0, 1], exact by histogram."""
    values = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in images.flatten(0, 2).unbind(1):
        share = torch.bincount(channel.to(torch.int32), minlength=256).double() / len(channel)
        centre = float((share * values).sum())
        mean.append(round(centre, 6))
        std.append(round(max(float((share * (values - centre) ** 2).sum()) ** 0.5, 1e-3), 6))
    return tuple(mean), tuple(std)
