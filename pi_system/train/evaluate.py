"""Accuracy and loss of a network on a set of pictures."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from pi_system.artifact.preprocess import Preprocess
from pi_system.train.data.augment import Normalisation
from pi_system.train.data.dataset import ImageSet

_BATCH = 512


@dataclass(frozen=True, slots=True, order=True)
class Score:
    """Share of pictures classified right, negated mean cross-entropy to break ties; -inf if it overflowed."""

    accuracy: float
    negated_loss: float


def evaluate(
    network: nn.Module, pictures: ImageSet, preprocess: Preprocess, *, autocast: torch.dtype | None = None
) -> Score:
    """Run a network in evaluation mode over all pictures, on the device of its weights.

    Args:
        network: gives logits (N, classes).
        pictures: what to classify.
        preprocess: how pictures are normalised.
        autocast: a lower precision to compute in; None computes in float32.
    """
    device = next(network.parameters()).device
    normalise = Normalisation.of(preprocess, device)
    training = network.training
    network.eval()
    right, loss = 0, 0.0
    with torch.inference_mode(), torch.autocast(device.type, autocast, enabled=autocast is not None):
        for start in range(0, len(pictures), _BATCH):
            images = pictures.images[start : start + _BATCH].to(device)
            labels = pictures.labels[start : start + _BATCH].to(device)
            logits = network(normalise(images)).float()
            right += int((logits.argmax(1) == labels).sum())
            loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
    network.train(training)
    return Score(right / len(pictures), -loss / len(pictures) if math.isfinite(loss) else -math.inf)
