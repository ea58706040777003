"""Sphynx: cells that are linear but for one ReLU layer, stacked with as many ReLUs each, as wide as the budget allows.

The published networks for CIFAR-100 (``train/cells.py``) are 5, 6, 8 or 10 of the same cells, at least 5 channels
wide; the ReLUs are cells x width x pixels. By default the most cells that can be 5 wide are taken, else 5 cells.
``cells=search`` searches both cells on the task's own data first (``micro_search``), in the order chosen; ``arch``
takes any cells and order. The network is trained from new weights with distillation.

Source: ``Sphynx.SOURCE``; cells, operations, orders and search checked against the authors' code. Not in the paper, our
choice: how many cells stand for which budget, and distillation. Its training, 600 epochs with dropped paths and an
auxiliary classifier, is not repeated.
"""

from dataclasses import dataclass
from typing import ClassVar

from pi_system.errors import BudgetError, ConfigError
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.micro_search import search_cells
from pi_system.reduce.options import epochs_of_new_weights, option, rate_of_new_weights
from pi_system.reduce.training import searched_spec, train_new
from pi_system.train.cells import ORDERS, SPHYNX_CELLS, parse_cells

_CELLS = ("published", "search")
_USUAL_WIDTH = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sphynx:
    """Sphynx: cells with one ReLU layer each, published or searched, as many and as wide as fit."""

    REDUCES: ClassVar[str] = "ReLUs, by architecture: cells that are linear inside"
    SOURCE: ClassVar[str] = "Cho, Ghodsi, Reagen, Garg, Hegde, arXiv 2106.11755"
    DIFFERS: ClassVar[str] = (
        "cells, orders and counts of the authors' code; a halving is one 2x2 convolution; first-order DARTS; where "
        "cells reduce is not searched; no dropped paths, no auxiliary classifier; distillation"
    )

    cells: str = option("published", "Which cells.", choices=_CELLS, unless=("arch",))
    count: int = option(0, "How many; 0 follows from the budget.", choices=(0, *ORDERS), unless=("arch",))
    arch: str = option("", "Cells and their order, as s0c1-c0c1-rrn, instead of those.")
    search_epochs: int = option(10, "Epochs of the search.", within="[1, 100000]", needs=("cells=search",))
    search_width: int = option(
        4, "Channels of the first cells in the search.", within="[1, 512]", needs=("cells=search",)
    )
    nodes: int = option(4, "Nodes of a cell that is searched.", within="[1, 8]", needs=("cells=search",))
    extra_epochs: int = epochs_of_new_weights()
    learning_rate: float = rate_of_new_weights()

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: even a width of 1 is over the budget.
            ConfigError: an option is outside its limits, or the pictures cannot be halved twice.
            Interrupted: stopped; the same task resumes.
        """
        if self.cells not in _CELLS or self.count not in (0, *ORDERS):
            expected = f"{' or '.join(_CELLS)}; {', '.join(map(str, (0, *ORDERS)))}"
            raise ConfigError(f"cells, count: expected {expected}; found {self.cells}, {self.count}")
        order, m = self._design(task)
        spec = searched_spec(task, "sphynx", m, self.arch or f"{SPHYNX_CELLS}-{order}")
        if self.cells == "search" and not self.arch:
            cells = search_cells(task, order, nodes=self.nodes, width=self.search_width, epochs=self.search_epochs)
            spec = searched_spec(task, "sphynx", m, f"{cells}-{order}")
        network, fitted = train_new(task, spec, None, self.extra_epochs, self.learning_rate)
        report = {"m": m, "cells": len(order), "architecture": spec.architecture}
        return ReductionResult(spec=spec, network=network, fitted=fitted, report=report)

    def _design(self, task: ReductionTask) -> tuple[str, int]:
        """Order of the cells, and width."""
        pixels = (-(-task.spec.size // task.spec.stride)) ** 2
        units = task.budget // pixels
        wide = (count for count in sorted(ORDERS, reverse=True) if units >= count * _USUAL_WIDTH)
        order = parse_cells(self.arch).order if self.arch else ORDERS[self.count or next(wide, min(ORDERS))]
        if units < len(order):
            what = f"those of {len(order)} cells with one channel each at first"
            raise BudgetError(len(order) * pixels, what, task.budget)
        return order, units // len(order)
