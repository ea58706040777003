"""Strides, dilations and padding of convolutions and pools."""

from typing import Any

import torch.nn.functional as F

from pi_system.export.onnx.builder import Builder, Traced
from pi_system.export.onnx.operators.node import Node

__all__ = ["padded", "windows"]


def windows(node: Node, x: Traced, kernel: list[int]) -> tuple[Any, Any, Any, list[int]]:
    """Stride, dilation, symmetric padding, and what is to be padded before: of F.pad, empty if nothing is."""
    axes = len(kernel)
    stride, dilation = node.integers("strides", [1] * axes), node.integers("dilations", [1] * axes)
    pads = node.integers("pads", [0] * 2 * axes)
    mode = node.text("auto_pad", "NOTSET")
    if mode.startswith("SAME"):
        sizes = zip(x.shape[2:], kernel, stride, dilation, strict=True)
        wanted = [max(0, (-(-size // step) - 1) * step + (k - 1) * d + 1 - size) for size, k, step, d in sizes]
        small = [one // 2 for one in wanted]
        large = [one - less for one, less in zip(wanted, small, strict=True)]
        pads = small + large if mode == "SAME_UPPER" else large + small
    before, after = pads[:axes], pads[axes:]
    if node.integer("ceil_mode", 0) and before != after:
        after = _reached(x.shape[2:], kernel, (stride, dilation, before, after))
    if before == after:
        return tuple(stride), tuple(dilation), tuple(before), []
    uneven = [amount for pair in reversed(list(zip(before, after, strict=True))) for amount in pair]
    return tuple(stride), tuple(dilation), (0,) * axes, uneven


def _reached(sizes: tuple[int, ...], kernel: list[int], given: tuple[list[int], ...]) -> list[int]:
    """How much of the padding at the ends windows reach that begin before it: with ceil_mode there are no others.

    Args:
        sizes: of the operand.
        kernel: of the window.
        given: stride, dilation, padding before and after.
    """
    reached = []
    for size, k, step, spread, before, after in zip(sizes, kernel, *given, strict=True):
        window = (k - 1) * spread + 1
        count = -(-(size + before + after - window) // step) + 1
        if (count - 1) * step >= size + before:
            count -= 1
        reached.append(min(after, max(0, (count - 1) * step + window - size - before)))
    return reached


def padded(builder: Builder, node: Node, x: Traced, uneven: list[int], value: float = 0.0) -> Traced:
    """``x`` with what ``windows`` says is to be padded before."""
    return builder.call(f"{node.name}_pad", F.pad, x, uneven, "constant", value) if uneven else x
