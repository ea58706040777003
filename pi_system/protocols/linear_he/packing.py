"""A convolution as products of polynomials (Cheetah, eprint 2022/207, section 3.1, with the changes below).

Channel c of the input stands at coefficients c S + y R + x of a polynomial, several channels one after another; the
weight from channel c to output o at offset (a, b) stands at (o m + m - 1 - c) S - a R - b, for m channels a
polynomial. Coefficient (o m + m - 1) S + y R + x of their product is then the sum over the m channels; sums over more
channels are sums of products. R leaves room for the zeros at the right of a row, which are also those at the left of
the next, and S for the zeros below a picture, which are also those above the next one. An exponent below 0 is n more
with the other sign (x^n = -1).

Changes: (1) a stride (sy, sx) is removed first: the input's sy sx phases become channels of a picture with stride 1,
so that every polynomial is full of wanted outputs; (2) padding shares its zeros; (3) a picture that is too large, or
packs better so, is cut into bands of rows, which overlap by the kernel; (4) layers that read the same value share
their input polynomials; (5) masks of P pictures for one layer share a ciphertext. Groups are weights that are zero:
products of which nothing remains are left out.

With P pictures, a power of two, each is laid out for degree n / P, and coefficient k of picture p stands at P k + p:
the polynomial sum_p x^p f_p(x^P). Times w(x^P) it is sum_p x^p (f_p w)(x^P): weights are polynomials of degree n / P,
and all of them together as large as without pictures side by side. So many pictures take about sqrt(P) times the
ciphertexts of one, and as many products a picture: of m channels an input and o outputs an answer, m o span <= n / P,
and a picture's share of the ciphertexts is (C / m + O / o) / P.

Weights of a 1x1 convolution stand at multiples of S. Where these are multiples of a power of two k, w(x) is v(x^k): v,
of degree n / (P k), is what the server transforms and keeps. S is rounded up for that where it costs little.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pi_system.errors import ConfigError
from pi_system.kernels.he import MAX_TERMS, MIN_DEGREE
from pi_system.kernels.packing import Words
from pi_system.protocols.linear_he.layer import LinearShape

_MAX_STEP_BITS = 6  # of the steps that are looked for; k may be larger


@dataclass(frozen=True, slots=True)
class Tap:
    """Kernel position (dy, dx): output (y, x) reads row y + row, column x + col of a phase of the input."""

    phase: int
    row: int
    col: int
    dy: int
    dx: int


@dataclass(frozen=True)
class LayerBundle:
    """Layers that share their input polynomials: same source, stride and output size."""

    layers: tuple[LinearShape, ...]

    @cached_property
    def phases(self) -> list[tuple[int, int]]:
        """The phases of the input that some layer reads."""
        found = set()
        for layer in self.layers:
            rows, cols = _axis(layer, 0), _axis(layer, 1)
            found |= {(row[0], col[0]) for row in rows for col in cols}
        return sorted(found)

    @cached_property
    def taps(self) -> list[list[Tap]]:
        """For each layer its kernel positions."""
        index = {phase: i for i, phase in enumerate(self.phases)}
        return [
            [
                Tap(index[(py, px)], row, col, dy, dx)
                for dy, (py, row) in enumerate(_axis(layer, 0))
                for dx, (px, col) in enumerate(_axis(layer, 1))
            ]
            for layer in self.layers
        ]

    @property
    def channels(self) -> int:
        """Input channels after the stride is removed: phase by phase."""
        return len(self.phases) * self.layers[0].in_channels


class Packing:
    """One way to lay out a bundle; see ``cheapest``.

    Attributes:
        bundle: the layers.
        degree: n.
        pictures: P, that share a ciphertext.
        per_input: m, channels of an input polynomial.
        band_rows: output rows of a band.
        bands: how many bands.
        inputs: input polynomials of a band.
        per_output: for each layer, outputs of an answer.
        answers: for each layer, answers of a band.
        steps: for each layer k: its weight polynomials are of x^k, k a power of two.
    """

    def __init__(
        self, bundle: LayerBundle, degree: int, per_input: int, band_rows: int, pictures: int = 1, step: int = 1
    ):
        """Lay out with these sizes, and S a multiple of ``step``; ConfigError if they do not fit."""
        self.bundle, self.degree, self.band_rows = bundle, degree, band_rows
        self.pictures, self._room = pictures, degree // pictures
        first = bundle.layers[0]
        (height, width), self._stride = first.in_size, first.stride
        self.out_rows, self.out_cols = first.out_size
        self.bands = -(-self.out_rows // band_rows)
        taps = [tap for layer in bundle.taps for tap in layer]
        low, high = min(t.row for t in taps), max(t.row for t in taps)
        left, right = min(0, *(t.col for t in taps)), max(0, *(t.col for t in taps))
        self._cols = min(-(-width // self._stride[1]), self.out_cols + right)
        self._row = max(self._cols - left, self.out_cols + right)
        # One band: its zero rows are shared between channels. Several: each holds its own halo rows, zero or not.
        self._top = 0 if self.bands == 1 else low
        self._rows = min(-(-height // self._stride[0]), self.out_rows + max(0, high))
        if self.bands > 1:
            self._rows = band_rows + high - low
        low, high = low - self._top, high - self._top
        reads_end = (band_rows - 1 + max(0, high)) * self._row + self.out_cols + right
        data_end = (self._rows - 1) * self._row + self._cols
        self._span = -(-max(reads_end, data_end - (min(0, low) * self._row + left)) // step) * step
        self._blocks = self._room // self._span
        most = max(1, self._room // MIN_DEGREE)
        self._shared = [math.gcd(most, *map(self._offset, taps)) for taps in bundle.taps]
        if self._blocks < per_input:
            expected = f"{per_input} channels of {pictures} pictures to fit degree {degree}"
            raise ConfigError(f"packing: expected {expected}, found room for {self._blocks}")
        self._split(per_input)

    def _split(self, per_input: int) -> None:
        """Give each input so many channels, and each answer what then fits."""
        layers, self.per_input = self.bundle.layers, per_input
        self.inputs = -(-self.bundle.channels // per_input)
        self.answers = [-(-la.out_channels // min(la.out_channels, self._blocks // per_input)) for la in layers]
        self.per_output = [-(-la.out_channels // a) for la, a in zip(layers, self.answers, strict=True)]
        self.answers = [-(-la.out_channels // p) for la, p in zip(layers, self.per_output, strict=True)]
        self.steps = [
            math.gcd(shared, self._span) if per_input * outputs > 1 else shared
            for shared, outputs in zip(self._shared, self.per_output, strict=True)
        ]
        self._positions: dict[tuple[int, int], npt.NDArray[np.int32]] = {}  # of few sizes, asked for at every answer

    def _offset(self, tap: Tap) -> int:
        """By how much a weight of this kernel position stands before its block."""
        return (tap.row - self._top) * self._row + tap.col

    @classmethod
    def cheapest(
        cls,
        bundle: LayerBundle,
        degree: int,
        upload_cost: float,
        answer_cost: float,
        pictures: int = 1,
        weight_cost: float = 0.0,
    ) -> "Packing":
        """The layout of least cost for ``pictures`` in a ciphertext: so much for an input polynomial, and an answer.

        S is rounded up where ``weight_cost``, of a coefficient of the weights, makes that cheaper.

        Raises:
            ConfigError: not even one row of one channel fits the degree, or the channels are too many.
        """
        rows = bundle.layers[0].out_size[0]
        best: tuple[float, Packing] | None = None
        for band_rows in sorted({-(-rows // bands) for bands in range(1, rows + 1)}, reverse=True):
            for packing in cls._splits(bundle, degree, band_rows, pictures, 1):
                cost = packing.cost(upload_cost, answer_cost)
                if best is None or cost < best[0]:
                    best = cost, packing
        if best is None:
            raise ConfigError(f"layer {bundle.layers[0].name}: expected rows and channels to fit degree {degree}")
        return best[1]._rounded_up(upload_cost, answer_cost, weight_cost)

    @classmethod
    def _splits(cls, bundle: LayerBundle, degree: int, band_rows: int, pictures: int, step: int) -> Iterator["Packing"]:
        """The layouts of these bands by their channels an input; none if not even one channel fits."""
        try:
            first = cls(bundle, degree, 1, band_rows, pictures, step)
        except ConfigError:
            return
        for per_input in sorted({-(-bundle.channels // n) for n in range(1, bundle.channels + 1)}):
            if per_input > first._blocks:
                return
            packing = copy.copy(first)
            packing._split(per_input)
            if packing.inputs <= MAX_TERMS:
                yield packing

    def _rounded_up(self, upload_cost: float, answer_cost: float, weight_cost: float) -> "Packing":
        """The cheapest layout of these bands with S rounded up to a power of two or not at all; see ``cheapest``."""

        def cost(packing: Packing) -> float:
            return packing.cost(upload_cost, answer_cost) + weight_cost * packing.weight_words()

        best = cost(self), self
        for step in (1 << bits for bits in range(1, _MAX_STEP_BITS + 1)):
            if all(shared % step for shared in self._shared):
                break
            for packing in self._splits(self.bundle, self.degree, self.band_rows, self.pictures, step):
                best = min(best, (cost(packing), packing), key=lambda pair: pair[0])
        return best[1]

    def weight_words(self) -> int:
        """Coefficients of the polynomials that stand for all weights; for groups at most."""
        return sum(self.inputs * count * self.weight_degree(i) for i, count in enumerate(self.answers))

    def cost(self, upload_cost: float, answer_cost: float) -> float:
        """Of the pictures of a ciphertext together."""
        return self.bands * (self.inputs * upload_cost + sum(self.answers) * answer_cost)

    def encode(self, masks: Words) -> Words:
        """The input polynomials, (bands, inputs, n), of the masks (P, C, H, W)."""
        polynomials = np.stack([self._encode(mask) for mask in masks], axis=-1)
        return polynomials.reshape(self.bands, self.inputs, self.degree)

    def _encode(self, mask: Words) -> Words:
        """Those of one picture, (bands, inputs, n / P)."""
        (sy, sx), above = self._stride, max(0, -self._top)
        rows = max(self.bands * self.band_rows + abs(self._top) + self._rows, above + mask.shape[1])
        planes = np.zeros((len(self.bundle.phases), mask.shape[0], rows, self._row), np.uint64)
        for plane, (py, px) in zip(planes, self.bundle.phases, strict=True):
            phase = mask[:, py::sy, px::sx][:, :, : self._cols]
            plane[:, above : above + phase.shape[1], : phase.shape[2]] = phase
        planes = planes.reshape(-1, rows, self._row)
        out = np.zeros((self.bands, self.inputs * self.per_input, self._rows, self._row), np.uint64)
        for band in range(self.bands):
            start = band * self.band_rows + self._top + above
            out[band, : planes.shape[0]] = planes[:, start : start + self._rows]
        return self._laid_out(out.reshape(self.bands, self.inputs, self.per_input, -1))

    def _laid_out(self, blocks: Words) -> Words:
        """(bands, inputs, m, words) to one polynomial each, blocks ``span`` apart."""
        words = min(blocks.shape[-1], self._span)  # what is cut off are zeros
        spaced = np.zeros((*blocks.shape[:3], self._span), np.uint64)
        spaced[..., :words] = blocks[..., :words]
        out = np.zeros((self.bands, self.inputs, self._room), np.uint64)
        out[..., : self.per_input * self._span] = spaced.reshape(self.bands, self.inputs, -1)
        return out

    def terms(self, layer: int, answer: int) -> npt.NDArray[np.int32]:
        """Which input polynomials an answer needs."""
        shape, (low, high) = self.bundle.layers[layer], self.outputs(layer, answer)
        group_in, group_out = shape.in_channels // shape.groups, shape.out_channels // shape.groups
        first, last = low // group_out * group_in, ((high - 1) // group_out + 1) * group_in
        needed: set[int] = set()
        for phase in {tap.phase for tap in self.bundle.taps[layer]}:
            base = phase * shape.in_channels
            needed |= set(range((base + first) // self.per_input, (base + last - 1) // self.per_input + 1))
        return np.array(sorted(needed), np.int32)

    def outputs(self, layer: int, answer: int) -> tuple[int, int]:
        """Output channels [low, high) of an answer."""
        low = answer * self.per_output[layer]
        return low, min(low + self.per_output[layer], self.bundle.layers[layer].out_channels)

    def part(self, number: int) -> tuple[slice, int]:
        """Which of a group's pictures are in the ciphertext of that number, of one input or answer, and which band."""
        group, band = divmod(number, self.bands)
        return slice(group * self.pictures, (group + 1) * self.pictures), band

    def rows(self, band: int) -> tuple[int, int]:
        """Output rows [low, high) of a band."""
        return band * self.band_rows, min((band + 1) * self.band_rows, self.out_rows)

    def positions(self, layer: int, answer: int, band: int) -> npt.NDArray[np.int32]:
        """Coefficients of an answer that hold outputs, in the order (picture, channel, row, column)."""
        low, high = self.outputs(layer, answer)
        top, bottom = self.rows(band)
        size = high - low, bottom - top
        if size not in self._positions:
            blocks = (np.arange(size[0]) + 1) * self.per_input - 1
            inside = np.arange(size[1])[:, None] * self._row + np.arange(self.out_cols)
            one = (blocks[:, None, None] * self._span + inside).astype(np.int32).reshape(-1)
            beside = np.arange(self.pictures, dtype=np.int32)[:, None]
            self._positions[size] = (one * self.pictures + beside).reshape(-1)
        return self._positions[size]

    def weight_degree(self, layer: int) -> int:
        """n / (P k), that of the polynomials which stand for a layer's weights."""
        return self._room // self.steps[layer]

    def weight_polynomials(self, layer: int, answer: int, weight: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """The weight polynomials of one answer, v for v(x^k), (terms, n / (P k)), from (O, C / groups, kh, kw)."""
        shape, (low, high) = self.bundle.layers[layer], self.outputs(layer, answer)
        terms = self.terms(layer, answer)
        place = np.zeros(self.inputs, np.int64)
        place[terms] = np.arange(terms.size)
        out = np.zeros((terms.size, self.weight_degree(layer)), np.int32)
        group_in, group_out = shape.in_channels // shape.groups, shape.out_channels // shape.groups
        outputs = np.arange(low, high)[:, None]
        channels = outputs // group_out * group_in + np.arange(group_in)
        for tap in self.bundle.taps[layer]:
            channel = channels + tap.phase * shape.in_channels
            block = (outputs - low) * self.per_input + self.per_input - 1 - channel % self.per_input
            exponent = (block * self._span - self._offset(tap)) // self.steps[layer]
            values = weight[low:high, :, tap.dy, tap.dx].astype(np.int32)
            at = place[channel // self.per_input], exponent % out.shape[1]
            out[at] = np.where(exponent < 0, -values, values)
        return out


def _axis(layer: LinearShape, axis: int) -> list[tuple[int, int]]:
    """For each kernel position along an axis: the phase it reads and the offset within the phase."""
    stride, padding = layer.stride[axis], layer.padding[axis]
    return [((d - padding) % stride, (d - padding) // stride) for d in range(layer.kernel[axis])]
