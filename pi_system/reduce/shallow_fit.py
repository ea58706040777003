"""Least-squares fit of merged layers, on the covariance of what they get as input.

A 3x3 convolution cannot be the product of two; the nearest one depends on its inputs. With patches u of the shallow
network's input of the layer and the deep network's output t of the layers it stands for, weights and bias minimise

    mean |W u + b - t|^2 + ridge |W - W_0|^2,

W_0 being the middle of the exact product, which the ridge keeps where inputs say nothing. Layers are fitted in the
order of execution, each on the inputs that those before it give, so later ones make up for what earlier ones lost.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from pi_system.reduce.shallow_weights import Merged

_RIDGE = 1e-3
_WIDEST = 6144  # inputs of a patch: above, solving takes minutes, and the middle of the product stays


def fit_merged(shallow: nn.Module, deep: nn.Module, merged: list[Merged], batches: list[Tensor]) -> None:
    """Fit every merged layer of ``shallow``; both networks are used in evaluation mode.

    Args:
        shallow: changed in place.
        deep: the network whose ReLUs that go are off.
        merged: layers to fit, in the order of execution.
        batches: normalised pictures, (N, C, H, W) each.
    """
    shallow.eval()
    deep.eval()
    with torch.no_grad():
        for one in merged:
            if one.new.weight[0].numel() <= _WIDEST and not _exact(one):
                _fit(one, _samples(shallow, deep, one, batches))


def _exact(one: Merged) -> bool:
    return isinstance(one.new, nn.Conv2d) and one.new.kernel_size[0] > 3


def _samples(
    shallow: nn.Module, deep: nn.Module, one: Merged, batches: list[Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs of the new layer as rows (n, inputs), and outputs of the old one as rows (n, outputs), float64."""
    for x in batches:
        found: dict[str, Tensor] = {}
        hooks = [
            one.new.register_forward_pre_hook(lambda _module, given, kept=found: kept.update(x=given[0])),
            one.old.register_forward_hook(lambda _module, _given, output, kept=found: kept.update(y=output)),
        ]
        shallow(x)
        deep(x)
        for hook in hooks:
            hook.remove()
        target = found["y"].movedim(1, -1).flatten(0, -2)
        yield _patches(one.new, found["x"]).double(), target.double()


def _patches(layer: nn.Conv2d | nn.Linear, x: Tensor) -> Tensor:
    if isinstance(layer, nn.Linear):
        return x
    padding = layer.padding if isinstance(layer.padding, tuple) else 0
    return functional.unfold(x, layer.kernel_size, padding=padding, stride=layer.stride).movedim(1, -1).flatten(0, -2)


def _fit(one: Merged, samples: Iterator[tuple[Tensor, Tensor]]) -> None:
    size = one.new.weight[0].numel()
    start = one.new.weight.flatten(1).double()
    second = torch.zeros(size + 1, size + 1, dtype=torch.float64)  # moments of (u, 1)
    mixed = torch.zeros(size + 1, len(start), dtype=torch.float64)
    for u, t in samples:
        row = torch.cat([u, torch.ones(len(u), 1, dtype=torch.float64)], dim=1)
        second += row.T @ row
        mixed += row.T @ t
    count, mean = second[-1, -1], second[:-1, -1] / second[-1, -1]
    covariance = second[:-1, :-1] / count - torch.outer(mean, mean)
    target = mixed[-1] / count
    gap = mixed[:-1] / count - torch.outer(mean, target) - covariance @ start.T
    covariance.diagonal().add_(_RIDGE * covariance.diagonal().mean().clamp(min=1e-12))
    weight = start + torch.linalg.solve(covariance, gap).T
    one.set(weight.float().reshape(one.new.weight.shape), (target - weight @ mean).float())
