"""Networks of Sphynx: cells that are linear inside and end with one ReLU layer, so a cell costs what its width says.

A cell reads the outputs of the two cells before it, each brought to the cell's width by a 1x1 convolution. Its nodes
each add two operations on inputs or earlier nodes; all nodes are concatenated, brought back to the cell's width, and
go through the cell's ReLU. Cells are normal, or reduce: they halve the size and have four times the channels, so N
cells of width m at the first size s x s have N m s^2 ReLUs.

A network is text: the normal cell's nodes with dots between them, the reducing cell's, and the order of the cells (n,
r), with dashes between the three, as ``s0s1.s2e0.v2d0.c1s2-c0c1.s0c2.d0s2.v0s4-rrnnn``. An edge is an operation and
where it reads: 0 and 1 are the cell before the last and the last, k + 2 is node k. Operations: s the value itself,
a 3x3 average, c two 3x3 convolutions, v two 5x5, d and e one 3x3 or 5x5 convolution of dilation 2; each with batch
normalisation.

Source: Cho, Ghodsi, Reagen, Garg, Hegde, arXiv 2106.11755 and IEEE Security & Privacy 2022; cells, operations and the
order of cells of the networks for CIFAR-100 from the authors' code (NYU-DICE-Lab/Sphynx). Differs: a halving is one 2x2
convolution of stride 2 (see ``macro``); averages count the padding; no dropped paths and no auxiliary classifier.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from pi_system.errors import ConfigError
from pi_system.train.blocks import Place, conv_bn
from pi_system.train.macro import halving

SPHYNX_CELLS = "s0s1.s2e0.v2d0.c1s2-c0c1.s0c2.d0s2.v0s4"
"""The published cells: normal, then reducing."""

ORDERS: Mapping[int, str] = {5: "rrnnn", 6: "rrnnnn", 8: "nrnrnnnn", 10: "rnnnnrnnnn"}
"""The published orders of cells, for CIFAR-100, by their number."""

_STEM = 3
_NODE = re.compile(r"[sacvde]\d[sacvde]\d")


@dataclass(frozen=True, slots=True)
class Edge:
    """An operation, by its letter, on a state of the cell: 0 and 1 its inputs, k + 2 node k."""

    operation: str
    state: int


CellGenotype = tuple[tuple[Edge, Edge], ...]
"""The edges of each node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Genotype:
    """Both cells, the normal and the reducing one, and the order in which they stand: n and r."""

    normal: CellGenotype
    reducing: CellGenotype
    order: str


def parse_cells(text: str) -> Genotype:
    """Read a network.

    Raises:
        ConfigError: not two cells and an order with two reductions, or an edge that reads what comes later.
    """
    parts = text.split("-")
    if len(parts) != 3 or not re.fullmatch("[nr]+", parts[2]) or parts[2].count("r") != 2:
        raise ConfigError(f"arch: expected two cells and an order with two r, as {SPHYNX_CELLS}-rrnnn; found {text!r}")
    return Genotype(normal=_parse_cell(parts[0]), reducing=_parse_cell(parts[1]), order=parts[2])


def _parse_cell(text: str) -> CellGenotype:
    nodes = []
    for index, node in enumerate(text.split(".")):
        if not _NODE.fullmatch(node) or max(int(node[1]), int(node[3])) >= index + 2:
            raise ConfigError(f"arch: expected two edges from states below {index + 2}, as s0s1; found {node!r}")
        nodes.append((Edge(node[0], int(node[1])), Edge(node[2], int(node[3]))))
    return tuple(nodes)


def _twice(width: int, kernel: int, stride: int) -> nn.Module:
    return nn.Sequential(*conv_bn(width, width, kernel, stride), *conv_bn(width, width, kernel))


def _dilated(width: int, kernel: int, stride: int) -> nn.Module:
    conv = nn.Conv2d(width, width, kernel, stride=stride, padding=kernel - 1, dilation=2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width))


OPERATIONS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "s": lambda width, stride: nn.Identity() if stride == 1 else halving(width, width),
    "a": lambda width, stride: nn.Sequential(nn.AvgPool2d(3, stride, 1), nn.BatchNorm2d(width)),
    "c": lambda width, stride: _twice(width, 3, stride),
    "v": lambda width, stride: _twice(width, 5, stride),
    "d": lambda width, stride: _dilated(width, 3, stride),
    "e": lambda width, stride: _dilated(width, 5, stride),
}
"""By letter, what builds (N, width, H, W) -> (N, width, H / stride, W / stride) from a width and a stride."""


class Cell(nn.Module):
    """One cell; subclasses say what is on its edges."""

    def __init__(self, inputs: tuple[int, int], width: int, place: Place, *, skipping: bool) -> None:
        """Build what all cells have.

        Args:
            inputs: channels of the cell before the last and of the last.
            width: of the cell.
            place: its stage and sizes; a stride of 2 reduces.
            skipping: the cell before the last is of twice the size of the last.
        """
        super().__init__()
        before = halving(inputs[0], width) if skipping else conv_bn(inputs[0], width, 1)
        self.inputs = nn.ModuleList([before, conv_bn(inputs[1], width, 1)])
        self.nodes = nn.ModuleList()
        self.width, self.place = width, place

    def stride(self, state: int) -> int:
        """Of an edge that reads this state: inputs are halved on the way into a node."""
        return self.place.stride if state < 2 else 1

    def _end(self, nodes: int) -> None:
        """Build what comes after so many nodes."""
        self.merge = conv_bn(nodes * self.width, self.width, 1)
        self.relu = self.place.relu(self.width)

    def node(self, index: int, states: list[Tensor]) -> Tensor:
        """The value of a node."""
        raise TypeError(f"{type(self).__name__} has no nodes")

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """Apply to the outputs of the two cells before."""
        states = [self.inputs[0](before), self.inputs[1](last)]
        for index in range(len(self.nodes)):
            states.append(self.node(index, states))
        return self.relu(self.merge(torch.cat(states[2:], 1)))  # type: ignore[no-any-return]


class _PlannedCell(Cell):
    """A cell whose edges are known."""

    def __init__(
        self, plan: CellGenotype, inputs: tuple[int, int], width: int, place: Place, *, skipping: bool
    ) -> None:
        super().__init__(inputs, width, place, skipping=skipping)
        self.plan = plan
        for node in plan:
            operations = [OPERATIONS[edge.operation](width, self.stride(edge.state)) for edge in node]
            self.nodes.append(nn.ModuleList(operations))
        self._end(len(plan))

    def node(self, index: int, states: list[Tensor]) -> Tensor:
        """See ``Cell``."""
        operations: Any = self.nodes[index]
        edges = zip(operations, self.plan[index], strict=True)
        found: Tensor = reduce(operator.add, (operation(states[edge.state]) for operation, edge in edges))
        return found


class CellFeatures(nn.Module):
    """Stem and cells; ``out_channels`` is the width of the last one."""

    def __init__(
        self, order: str, make: Callable[..., Cell], width: int, *, in_channels: int, size: int, stride: int
    ) -> None:
        """Build.

        Args:
            order: of the cells: n and r.
            make: builds a cell: (reducing, inputs, width, place, skipping=...).
            width: of cells at the first size.
            in_channels: of the picture.
            size: height and width of the picture.
            stride: of the stem.
        """
        super().__init__()
        self.stem = conv_bn(in_channels, _STEM * width, 3, stride)
        self.cells = nn.ModuleList()
        size, inputs, skipping, stage, start = -(-size // stride), (_STEM * width,) * 2, False, 1, 0
        for index, kind in enumerate(order):
            reducing = kind == "r"
            if reducing:
                width, stage, start = 4 * width, stage + 1, index
            place = Place(stage=stage, block=index - start, size=size, stride=2 if reducing else 1)
            self.cells.append(make(reducing, inputs, width, place, skipping=skipping))
            inputs, size, skipping = (inputs[1], width), place.out_size, reducing
        self.out_channels = width

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, out_channels, size / 4, size / 4) of pictures."""
        before = last = self.stem(x)
        for cell in self.cells:
            before, last = last, cell(before, last)
        return last  # type: ignore[no-any-return]

    @classmethod
    def of(cls, plan: Genotype, width: int, *, in_channels: int, size: int, stride: int) -> "CellFeatures":
        """The network of a plan."""

        def make(reducing: bool, *arguments: object, **settings: object) -> Cell:
            return _PlannedCell(plan.reducing if reducing else plan.normal, *arguments, **settings)  # type: ignore[arg-type]

        return cls(plan.order, make, width, in_channels=in_channels, size=size, stride=stride)
