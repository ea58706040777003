"""A weighted node of the graph as one ring convolution, whole or for a range of its output channels."""

from pi_system.artifact.graph import Conv2d, WeightedNode
from pi_system.kernels.conv import PreparedInput, RingConv2d
from pi_system.ring.carrier import RingArray
from pi_system.secure.values import LazyValue


class RingLayer:
    """Convolution or fully connected layer with fixed ring weights; no bias."""

    def __init__(self, node: WeightedNode, weight: RingArray):
        """``weight``: (out, in / groups, kh, kw) or (out, in), of carrier dtype; packed once here."""
        self.node = node
        if isinstance(node, Conv2d):
            self._conv = RingConv2d(weight, stride=node.stride, padding=node.padding, groups=node.groups)
        else:
            self._conv = RingConv2d(weight.reshape(*weight.shape, 1, 1))

    def __call__(self, x: RingArray) -> RingArray:
        """(N, *input shape) to (N, *node.shape), every word modulo the carrier."""
        return self.start(x).full()

    def start(self, x: RingArray, offset: RingArray | None = None) -> "LazyLayer":
        """The output, computed when and as far as it is asked for; ``offset`` (1 or N, *node.shape) is added."""
        images = x if x.ndim == 4 else x.reshape(*x.shape, 1, 1)
        return LazyLayer(self, self._conv, self._conv.prepare(images), (x.shape[0], *self.node.shape), offset)


class LazyLayer(LazyValue):
    """A layer's output by ranges of channels, so that a gate can start before the layer is done."""

    def __init__(
        self,
        layer: RingLayer,
        conv: RingConv2d,
        prepared: PreparedInput,
        shape: tuple[int, ...],
        offset: RingArray | None,
    ):
        """Made by ``RingLayer.start``."""
        super().__init__(shape)
        self._layer, self._conv, self._prepared, self._offset = layer, conv, prepared, offset

    def channels(self, first: int, last: int) -> RingArray:
        """Output channels [first, last): (N, last - first, ...)."""
        part = self._conv(self._prepared, channels=(first, last))
        part = part.reshape(part.shape[:2] + self.shape[2:])
        if self._offset is not None:
            part += self._offset[:, first:last]
        return part
