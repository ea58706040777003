"""What searches with two levels share: weights learn from one part of the pictures, choices from the other.

The inner level is the training loop; the outer one is a companion of it (``train/loop.py``), whose state lies in
buffers and whose draws follow from counters, so a search resumes with its training, bit by bit.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from pi_system.reduce.method import ReductionTask
from pi_system.train.data import DataSet
from pi_system.train.data.augment import Normalisation
from pi_system.train.data.dataset import ImageSet
from pi_system.train.parallel import average_


def generator_of(seed: int, *counters: int) -> torch.Generator:
    """The generator of one draw, which a resumed search makes anew."""
    name = "/".join(map(str, (seed, *counters))).encode()
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name).digest()[:4]))


def split_training(task: ReductionTask) -> tuple[DataSet, ImageSet]:
    """The task's data with half of the training pictures, and the other half.

    The validation pictures stay unseen by the search.
    """
    train = task.data.train
    order = torch.randperm(len(train), generator=generator_of(task.finetune.seed))
    held_out = min(max(2, len(train) // 2), len(train) - 2)
    return replace(task.data, train=train.subset(order[held_out:])), train.subset(order[:held_out])


class HeldOut:
    """Batches of held-out pictures, drawn by number."""

    def __init__(self, task: ReductionTask, pictures: ImageSet) -> None:
        """Move them to where the training is."""
        device = task.finetune.torch_device()
        self._pictures, self._batch = pictures.to(device), min(task.finetune.batch_size, len(pictures))
        self._normalise = Normalisation.of(task.data.preprocess, device)
        self._seed = task.finetune.seed

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """Normalised pictures (N, C, H, W) and labels (N,)."""
        order = torch.randperm(len(self._pictures), generator=generator_of(self._seed, number, -1))
        part = self._pictures.subset(order[: self._batch].to(self._pictures.labels.device))
        return self._normalise(part.images), part.labels


class OuterAdam(nn.Module):
    """Adam on parameters that the training loop leaves alone; its state is in buffers, to be saved with the network.

    The loop leaves them alone where no gradient of its loss reaches them.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        *,
        rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        """Start without momentum; the parameters stay those of their own module."""
        super().__init__()
        self._targets = tuple(parameters)
        self._rate, self._betas, self._weight_decay = rate, betas, weight_decay
        for place, parameter in enumerate(parameters):
            for name in ("mean", "square"):
                self.register_buffer(f"{name}{place}", torch.zeros_like(parameter))
            self.register_buffer(f"steps{place}", torch.zeros(()))

    def step(self, loss: Tensor) -> None:
        """Follow the loss's gradient, averaged over processes; parameters it does not depend on stay."""
        found = torch.autograd.grad(loss, self._targets, allow_unused=True)
        used = [(place, gradient) for place, gradient in enumerate(found) if gradient is not None]
        average_(gradient for _, gradient in used)
        with torch.no_grad():
            adam(
                [self._targets[place] for place, _ in used],
                [gradient for _, gradient in used],
                [self.get_buffer(f"mean{place}") for place, _ in used],
                [self.get_buffer(f"square{place}") for place, _ in used],
                [],
                [self.get_buffer(f"steps{place}") for place, _ in used],
                foreach=False,
                amsgrad=False,
                beta1=self._betas[0],
                beta2=self._betas[1],
                lr=self._rate,
                weight_decay=self._weight_decay,
                eps=1e-8,
                maximize=False,
            )
