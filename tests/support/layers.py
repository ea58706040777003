"""Weighted layers of the usual shapes."""

from pi_system.protocols.linear_he import LinearShape


def conv3(
    name: str, source: str, channels: int, size: int, *, out: int, stride: int = 1, groups: int = 1
) -> LinearShape:
    """A convolution of 3x3 kernels on square pictures, padded so that without a stride they keep their size."""
    return LinearShape(
        name=name,
        source=source,
        in_channels=channels,
        out_channels=out,
        in_size=(size, size),
        kernel=(3, 3),
        stride=(stride, stride),
        padding=(1, 1),
        groups=groups,
    )
