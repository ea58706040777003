"""What guessing reaches, which an accuracy is compared with before anybody believes in the network."""

from math import sqrt

import torch
from torch import Tensor

_DEVIATIONS = 3.0
"""Beyond the mean, where guessing seldom goes. More: networks that have learned little are warned of, too."""


def guessing_accuracy(labels: Tensor) -> float:
    """The accuracy that naming the same class each time reaches, by luck too, on pictures of these labels, int64 (N,).

    The share of the most frequent class and three standard deviations of such a share over N pictures, 1 at most.
    """
    share = float(torch.bincount(labels).max()) / len(labels)
    return min(1.0, share + _DEVIATIONS * sqrt(share * (1 - share) / len(labels)))
