"""The public shape of one linear layer."""

from dataclasses import dataclass
from typing import Any

from pi_system.artifact.graph import Conv2d, Graph
from pi_system.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearShape:
    """A convolution, or a fully connected layer as the 1x1 convolution of a 1x1 picture.

    Layers with the same ``source`` read the same value and so share one mask; its encryption is sent once where
    their strides and output sizes agree.

    Attributes:
        name: of the layer, unique.
        source: of the value it reads.
        in_channels: C.
        out_channels: O.
        in_size: (H, W).
        kernel: (kh, kw).
        stride: (sy, sx).
        padding: (py, px), zeros on both sides.
        groups: of channels; each output reads C / groups inputs.
    """

    name: str
    source: str
    in_channels: int
    out_channels: int
    in_size: tuple[int, int] = (1, 1)
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1

    def __post_init__(self) -> None:
        """Check ranges."""
        positive = (self.in_channels, self.out_channels, self.groups, *self.in_size, *self.kernel, *self.stride)
        if min(positive) < 1 or min(self.padding) < 0:
            raise ConfigError(f"layer {self.name}: expected positive sizes, found {self}")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ConfigError(f"layer {self.name}: expected channels divisible by groups {self.groups}")
        if min(self.out_size) < 1:
            raise ConfigError(f"layer {self.name}: expected kernel {self.kernel} to fit the padded {self.in_size}")

    @property
    def out_size(self) -> tuple[int, int]:
        """(Ho, Wo)."""
        (h, w), (kh, kw), (sy, sx), (py, px) = self.in_size, self.kernel, self.stride, self.padding
        return (h + 2 * py - kh) // sy + 1, (w + 2 * px - kw) // sx + 1

    @property
    def mask_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the client's mask."""
        return self.in_channels, *self.in_size

    @property
    def share_shape(self) -> tuple[int, int, int]:
        """(O, Ho, Wo) of both parties' shares."""
        return self.out_channels, *self.out_size

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(O, C / groups, kh, kw) of the server's weights."""
        return self.out_channels, self.in_channels // self.groups, *self.kernel

    @property
    def fan_in(self) -> int:
        """Weights that one output reads."""
        return self.in_channels // self.groups * self.kernel[0] * self.kernel[1]


def linear_shapes(graph: Graph) -> list[LinearShape]:
    """The linear layers of a graph in execution order; ``source`` is the name of the node read."""
    shapes = {node.name: node.shape for node in graph}
    layers = []
    for node in graph.weighted:
        window: dict[str, Any] = {}
        channels, *size = shapes[node.inputs[0]]
        if isinstance(node, Conv2d):
            window = {"in_size": tuple(size), "kernel": node.kernel, "stride": node.stride, "padding": node.padding}
            window["groups"] = node.groups
        shape = LinearShape(
            name=node.name, source=node.inputs[0], in_channels=channels, out_channels=node.shape[0], **window
        )
        layers.append(shape)
    return layers
