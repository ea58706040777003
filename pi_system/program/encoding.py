"""Real numbers to fixed point and back, without torch: shared by the oracle, the client and the server.

A real number v with F fraction bits is the integer rint(v * 2^F), a signed representative in Z_{2^l}.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import AvgPool2d, Graph
from pi_system.artifact.model import PublicModel, Weights
from pi_system.artifact.ring_config import RingConfig
from pi_system.errors import FixedPointRangeError, InputError

WEIGHT_BITS = 16
"""Weights are signed 16-bit integers, |w| < 2^15: the online kernels multiply int16 by ring elements."""

_LARGEST_WEIGHT = 1 << 20  # squares of 2^22 of them fit 63 bits

IntWeights = Mapping[str, NDArray[np.int64]]
"""``Weights`` as integers; the secure runtime's are narrower."""


def wrap(values: NDArray[np.int64], ring_bits: int) -> NDArray[np.int64]:
    """The signed representative in [-2^(l-1), 2^(l-1)) of ``values`` mod 2^l."""
    if ring_bits == 64:
        return values
    shift = 64 - ring_bits
    return (values << shift) >> shift


def encode(values: NDArray[np.floating], frac_bits: int, bits: int, what: str) -> NDArray[np.int64]:
    """rint(values * 2^frac_bits), half to even.

    Raises:
        FixedPointRangeError: a value is not finite or does not fit ``bits`` signed bits.
    """
    scaled = np.rint(np.asarray(values, dtype=np.float64) * 2.0**frac_bits)
    if not (np.abs(scaled) < 2.0 ** (bits - 1)).all():  # also False for NaN
        raise FixedPointRangeError(f"{what}: expected values below 2^{bits - 1 - frac_bits} in magnitude")
    return scaled.astype(np.int64)


def encode_input(pictures: NDArray[np.floating], graph: Graph, ring: RingConfig) -> NDArray[np.int64]:
    """The client's preprocessed pictures (N, C, H, W) in fixed point; FixedPointRangeError outside the ring."""
    name = graph.input.name
    return encode(pictures, ring.frac_bits[name], ring.ring_bits, "picture")


def check_values(pictures: NDArray[np.floating], names: Sequence[str], model: PublicModel) -> None:
    """Before anything is spent: that ``encode_input`` takes the pictures. Raises InputError, which names the first."""
    name = model.graph.input.name
    frac_bits, bits = model.ring.frac_bits[name], model.ring.ring_bits
    for picture, what in zip(pictures, names, strict=True):
        try:
            encode(picture, frac_bits, bits, what)
        except FixedPointRangeError as error:
            raise InputError(str(error)) from None


def logits_to_float(logits: NDArray[np.integer], graph: Graph, ring: RingConfig) -> NDArray[np.float64]:
    """Signed fixed-point logits (N, classes) as real numbers."""
    return logits.astype(np.float64) * 2.0 ** -ring.frac_bits[graph.output]


def quantise_weights(
    graph: Graph, ring: RingConfig, weights: Weights, *, narrow: bool = False
) -> dict[str, NDArray[np.int64]]:
    """The server's weights in fixed point, rounded half to even: W * 2^fw and bias * 2^(F_in + fw).

    Args:
        graph: the model's.
        ring: its scales.
        weights: real numbers.
        narrow: W in 16 bits, for who keeps it and widens it before it computes.

    Raises:
        FixedPointRangeError: a weight does not fit 16 signed bits, or a bias the ring.
    """
    integers: dict[str, NDArray[np.int64]] = {}
    for node in graph.weighted:
        weight = f"{node.name}.weight"
        found = encode(weights[weight], ring.weight_frac_bits[node.name], WEIGHT_BITS, f"weight {weight}")
        integers[weight] = found.astype(np.int16) if narrow else found
    for name in (*(node.name for node in graph.weighted), *(node.name for node in graph.biased())):
        bias = f"{name}.bias"
        integers[bias] = encode(weights[bias], ring.frac_bits[name], ring.ring_bits, f"weight {bias}")
    return integers


def pool_factor(node: AvgPool2d, ring: RingConfig) -> int:
    """What a pool multiplies its window sums by: 1 for a sum or a power of two, else rint(2^fw / area)."""
    frac_bits = ring.weight_frac_bits.get(node.name)
    return 1 if frac_bits is None else round(2.0**frac_bits / prod(node.kernel))


def weight_norm_bits(weights: Iterable[NDArray[np.integer]]) -> int:
    """The least b with 2^b at least the Euclidean norm of the integer weights of every output, (out, ...) each.

    Raises:
        FixedPointRangeError: a weight is 2^20 or larger.
    """
    squared = 1
    for tensor in weights:
        rows = tensor.reshape(tensor.shape[0], -1).astype(np.int64)
        if np.abs(rows).max(initial=0) >= _LARGEST_WEIGHT:
            raise FixedPointRangeError(f"weights: expected integers below {_LARGEST_WEIGHT} in size")
        squared = max(squared, int(np.einsum("ij,ij->i", rows, rows).max(initial=0)))
    return max(1, -(-(squared - 1).bit_length() // 2))
