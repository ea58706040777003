"""The best polynomial in the place of each channel's ReLU, by least squares on the values the channel really sees.

With the moments m_k = E[x^k] and v_k = E[max(x, 0) x^k] over pictures and positions, the polynomial of degree d that
minimises E[(max(x, 0) - p(x))^2] solves the normal equations sum_j m_(i+j) c_j = v_i, i = 0..d.

Source: SAFENet fits a polynomial a channel (ICLR 2021; its fit was not verified); AutoReP (Peng et al., ICCV 2023,
arXiv 2308.10134) fits one to a layer's distribution.
"""

import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pi_system.reduce.method import ReductionTask
from pi_system.reduce.sensitivity import sample_batches
from pi_system.train.parallel import from_first
from pi_system.train.relu import named_relus

# Added to the diagonal of the normal equations, as a share of its mean: channels that never vary have no unique fit.
_RIDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Moments:
    """Of the values in front of a ReLU layer, by channel.

    Attributes:
        powers: E[x^k], k = 0..4, float64 (C, 5).
        products: E[max(x, 0) x^k], k = 0..2, float64 (C, 3).
    """

    powers: Tensor
    products: Tensor

    @classmethod
    def of(cls, x: Tensor) -> "Moments":
        """Those of a batch (N, C, H, W)."""
        values = x.detach().double().transpose(0, 1).flatten(1)  # (C, N H W)
        powers = torch.stack([values.pow(k).mean(1) for k in range(5)], 1)
        positive = values.clamp(min=0)
        return cls(powers, torch.stack([(positive * values.pow(k)).mean(1) for k in range(3)], 1))


def measure_moments(task: ReductionTask) -> dict[str, Moments]:
    """The moments in front of every ReLU layer of the task's network, on some training pictures."""
    network = copy.deepcopy(task.network).to(task.finetune.torch_device()).eval()
    seen: dict[str, list[Moments]] = {name: [] for name in named_relus(network)}

    def keep(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen[name].append(Moments.of(inputs[0]))

    for name, relu in named_relus(network).items():
        relu.register_forward_pre_hook(partial(keep, name))
    with torch.no_grad():
        for x, _ in sample_batches(network, task):
            network(x)
    return from_first({name: _mean(parts) for name, parts in seen.items()})


def _mean(parts: list[Moments]) -> Moments:
    powers = torch.stack([part.powers for part in parts]).mean(0)
    return Moments(powers.cpu(), torch.stack([part.products for part in parts]).mean(0).cpu())


def fit_degree(moments: Moments, degree: int) -> tuple[Tensor, Tensor]:
    """The best polynomial of a degree for every channel.

    Returns:
        Coefficients a, b, c of a x^2 + b x + c, float64 (C, 3), and what is left of E[(max(x, 0) - p(x))^2] as a share
        of E[max(x, 0)^2], (C,).
    """
    size = degree + 1
    index = torch.arange(size)
    matrix = moments.powers[:, index[:, None] + index]  # (C, d + 1, d + 1)
    ridge = _RIDGE * matrix.diagonal(dim1=1, dim2=2).mean(1)
    solved = torch.linalg.solve(matrix + ridge[:, None, None] * torch.eye(size), moments.products[:, :size])
    coefficients = torch.zeros(len(solved), 3, dtype=torch.float64)
    coefficients[:, 3 - size :] = solved.flip(1)
    energy = moments.products[:, 1]  # E[max(x, 0) x] = E[max(x, 0)^2]
    explained = 2 * (solved * moments.products[:, :size]).sum(1) - torch.einsum("ci,cij,cj->c", solved, matrix, solved)
    return coefficients, ((energy - explained) / energy.clamp(min=1e-12)).clamp(min=0.0)


def lowest_degrees(moments: Moments, degrees: tuple[int, ...], tolerance: float) -> tuple[Tensor, Tensor]:
    """For every channel the lowest of ``degrees`` that leaves at most ``tolerance``, or the highest of them.

    Returns:
        Degrees, int64 (C,), and coefficients, (C, 3).
    """
    ordered = sorted(degrees)
    coefficients, left = fit_degree(moments, ordered[-1])
    chosen = torch.full((len(left),), ordered[-1])
    for degree in reversed(ordered[:-1]):
        lower, rest = fit_degree(moments, degree)
        enough = rest <= tolerance
        chosen[enough] = degree
        coefficients[enough] = lower[enough]
    return chosen, coefficients
