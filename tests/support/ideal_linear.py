"""The ideal functionality: what both parties hold afterwards, computed by someone who sees everything. For tests."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pi_system.protocols.linear_he.plan import LinearPlan
from pi_system.ring.carrier import Ring, RingArray


def ring_product(
    mask: RingArray,
    weight: npt.NDArray[Any],
    stride: tuple[int, int],
    padding: tuple[int, int],
    groups: int,
    ring_bits: int,
) -> RingArray:
    """W * r in Z_{2^ring_bits} for a mask (C, H, W) and weights (O, C / groups, kh, kw)."""
    ring = Ring(ring_bits)
    (outputs, group_in, kh, kw), (py, px) = weight.shape, padding
    padded = np.pad(mask.astype(np.uint64), ((0, 0), (py, py), (px, px)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), (1, 2))[:, :: stride[0], :: stride[1]]
    _, height, width, _, _ = windows.shape
    columns = windows.transpose(0, 3, 4, 1, 2).reshape(groups, group_in * kh * kw, height * width)
    rows = weight.astype(np.int64).view(np.uint64).reshape(groups, outputs // groups, group_in * kh * kw)
    product = np.matmul(rows, columns)  # wraps modulo 2^64
    return ring.reduce(product.reshape(outputs, height, width).astype(ring.dtype))


def ideal_linear(
    plan: LinearPlan,
    weights: Mapping[str, npt.NDArray[Any]],
    masks: Mapping[str, RingArray],
    server_shares: Mapping[str, RingArray],
) -> dict[str, RingArray]:
    """The client's shares that belong to these masks and server's shares: c_c = W r - c_s."""
    ring, shares = Ring(plan.params.ring_bits), {}
    for layer in plan.layers:
        weight = weights[layer.name].reshape(layer.weight_shape)
        mask = masks[layer.source].reshape(layer.mask_shape)
        whole = ring_product(mask, weight, layer.stride, layer.padding, layer.groups, ring.bits)
        shares[layer.name] = ring.reduce(whole - server_shares[layer.name])
    return shares
