"""A network as anybody has one: plain torch, trained on scikit-learn's digits, kept as a file of weights.

python examples/digits_network.py digits.pt
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional


def build(width: int = 8) -> nn.Module:
    """Digits of 8 x 8 pixels to ten logits; every convolution has 64 * ``width`` ReLUs, then a quarter of these."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * width, 10),
    )


def digits() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Pictures (N, 1, 8, 8) from 0 to 1 with their classes: 1,400 to train on, 397 to test."""
    pixels, labels = load_digits(return_X_y=True)
    pictures = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    classes = torch.tensor(labels, dtype=torch.long)
    return (pictures[:1400], classes[:1400]), (pictures[1400:], classes[1400:])


def train(network: nn.Module, steps: int = 200, rate: float = 0.2) -> nn.Module:
    """A second of gradient descent."""
    (pictures, classes), _ = digits()
    generator, parameters = torch.Generator().manual_seed(0), list(network.parameters())
    network.train()
    for _ in range(steps):
        batch = torch.randint(len(pictures), (64,), generator=generator)
        loss = functional.cross_entropy(network(pictures[batch]), classes[batch])
        for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.data -= rate * slope
    return network.eval()


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.save(train(build()).state_dict(), sys.argv[1])
