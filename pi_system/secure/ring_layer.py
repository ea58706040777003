"""A weighted node of the graph as one ring convolution, whole or for a range of its output channels."""

import os
from typing import Any

import numpy as np

from pi_system.artifact.graph import Conv2d, Linear
from pi_system.kernels.conv import RingConv2d
from pi_system.ring.carrier import RingArray

__all__ = ["Kept", "LazyLayer", "RingLayer", "available_threads"]


def available_threads() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))


class RingLayer:
    """Convolution or fully connected layer with fixed ring weights; no bias."""

    def __init__(self, node: Conv2d | Linear, weight: RingArray):
        """``weight``: (out, in / groups, kh, kw) or (out, in), of carrier dtype; packed once here."""
        self.node = node
        if isinstance(node, Conv2d):
            self._conv = RingConv2d(weight, stride=node.stride, padding=node.padding, groups=node.groups)
        else:
            self._conv = RingConv2d(weight.reshape(*weight.shape, 1, 1))

    def __call__(self, x: RingArray) -> RingArray:
        """(N, *input shape) to (N, *node.shape), every word modulo the carrier."""
        return self.start(x).full()

    def start(self, x: RingArray, offset: Any = None) -> "LazyLayer":
        """The output, computed when and as far as it is asked for; ``offset`` (1 or N, *node.shape) is added."""
        images = x if x.ndim == 4 else x.reshape(*x.shape, 1, 1)
        return LazyLayer(self, self._conv, self._conv.prepare(images), (x.shape[0], *self.node.shape), offset)


class LazyLayer:
    """A layer's output by ranges of channels, so that a gate can start before the layer is done."""

    def __init__(self, layer: RingLayer, conv: RingConv2d, prepared: Any, shape: tuple[int, ...], offset: Any):
        """Made by ``RingLayer.start``."""
        self.shape = shape
        self._layer, self._conv, self._prepared, self._offset = layer, conv, prepared, offset
        self._threads = available_threads()

    def channels(self, first: int, last: int) -> RingArray:
        """Output channels [first, last): (N, last - first, ...)."""
        part = self._conv(self._prepared, channels=(first, last), threads=self._threads)
        part = part.reshape(part.shape[:2] + self.shape[2:])
        if self._offset is not None:
            part += self._offset[:, first:last]
        return part

    def full(self) -> RingArray:
        """The whole output."""
        return self.channels(0, self.shape[1])


class Kept:
    """A value still being computed that keeps what was asked for: a gate reads some of it, then a walk the whole."""

    def __init__(self, value: Any):
        """``value``: with ``shape`` and ``channels(first, last)``, of which each channel is asked for once."""
        self.shape: tuple[int, ...] = value.shape
        self._value, self._filled = value, 0
        self._out: RingArray | None = None

    def channels(self, first: int, last: int) -> RingArray:
        """Channels [first, last), and those before them, computed unless they are."""
        if self._out is None or last > self._filled:
            part = self._value.channels(self._filled, last)
            if self._out is None:
                self._out = np.empty(self.shape, part.dtype)
            self._out[:, self._filled : last] = part
            self._filled = last
        return self._out[:, first:last]

    def full(self) -> RingArray:
        """The whole value."""
        return self.channels(0, self.shape[1])
