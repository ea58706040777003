"""Sphynx's search (DARTS): every edge of a cell is a mixture of all operations, whose shares are learned.

Weights learn from one half of the training pictures, by the training loop; after each step the shares learn from a
batch of the other half, by Adam. Then every node keeps the two edges whose best operation (nothing apart) has the
largest logit.

Sources: Liu, Simonyan, Yang, ICLR 2019, arXiv 1806.09055 (DARTS); the authors' code of Sphynx (NYU-DICE-Lab/Sphynx):
operations without ReLUs, one ReLU a cell, Adam at 3e-4 with betas (0.5, 0.999) and decay 1e-3, weights at 0.025.
Differs: the first-order step of DARTS, where that code takes the second-order one; channels times four at a reduction
in the search, too (two there); where cells reduce is given, not searched.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from pi_system.reduce.method import ReductionTask
from pi_system.reduce.outer import HeldOut, OuterAdam, split_training
from pi_system.reduce.training import train_student
from pi_system.train.blocks import Place
from pi_system.train.cells import OPERATIONS, Cell, CellFeatures
from pi_system.train.loop import Companion
from pi_system.train.networks import Classifier
from pi_system.train.spec import NetworkSpec

_RATE, _BETAS, _DECAY = 3e-4, (0.5, 0.999), 1e-3
_WEIGHTS_RATE = 0.025
_START = 1e-3


class _MixedCell(Cell):
    """A cell with every operation on every edge; ``supernet`` knows the shares."""

    def __init__(
        self, supernet: "MicroSupernet", reducing: bool, inputs: tuple[int, int], width: int, place: Place, **skip: bool
    ) -> None:
        super().__init__(inputs, width, place, **skip)
        self._shares = supernet.shares
        self._reducing = reducing
        for index in range(supernet.nodes):
            edges = [[make(width, self.stride(k)) for make in OPERATIONS.values()] for k in range(index + 2)]
            self.nodes.append(nn.ModuleList(nn.ModuleList(edge) for edge in edges))
        self._end(supernet.nodes)

    def node(self, index: int, states: list[Tensor]) -> Tensor:
        """See ``Cell``."""
        shares = self._shares(self._reducing, index)
        edges: nn.ModuleList = self.nodes[index]  # type: ignore[assignment]
        total = torch.zeros(())
        for state, operations, share in zip(states, edges, shares, strict=True):
            for operation, part in zip(operations, share, strict=False):  # type: ignore[call-overload]
                total = total + part * operation(state)
        return total


class MicroSupernet(Classifier):
    """All operations on all edges of the cells of a network, and the logits of their shares.

    ``logits`` has for each kind of cell (normal, reducing) and node a tensor (states, operations and nothing).
    """

    def __init__(self, order: str, nodes: int, width: int, spec: NetworkSpec) -> None:
        """Build for the pictures and classes of ``spec``."""
        super().__init__(spec.classes)
        self.nodes, self.searching = nodes, False
        tables = [_START * torch.randn(k + 2, len(OPERATIONS) + 1) for _ in range(2) for k in range(nodes)]
        self.logits = nn.ParameterList(tables)

        def make(reducing: bool, inputs: tuple[int, int], width: int, place: Place, *, skipping: bool) -> Cell:
            return _MixedCell(self, reducing, inputs, width, place, skipping=skipping)

        self.body = CellFeatures(order, make, width, in_channels=spec.channels, size=spec.size, stride=spec.stride)
        self._finish(self.body.out_channels)

    def shares(self, reducing: bool, node: int) -> Tensor:
        """Shares (states, operations and nothing); they learn only while ``searching``."""
        logits = self.logits[self.nodes * reducing + node]
        return functional.softmax(logits if self.searching else logits.detach(), 1)

    def features(self, x: Tensor) -> Tensor:
        """See ``Classifier``."""
        return self.body(x)  # type: ignore[no-any-return]

    def cells(self) -> str:
        """The text of both cells as the shares are now."""
        tables = [table.detach().cpu() for table in self.logits]
        return "-".join(".".join(map(_best, tables[start : start + self.nodes])) for start in (0, self.nodes))


def _best(table: Tensor) -> str:
    """The two edges of a node."""
    letters = list(OPERATIONS)
    value, operation = table[:, :-1].max(1)
    states = torch.argsort(value, descending=True, stable=True)[:2].tolist()
    return "".join(f"{letters[int(operation[state])]}{state}" for state in states)


class _Architect(Companion):
    """The companion: after each step of the weights, a step of the shares."""

    def __init__(self, supernet: MicroSupernet, held_out: HeldOut) -> None:
        self._supernet, self._held_out = supernet, held_out
        supernet.optimizer = OuterAdam(list(supernet.logits), rate=_RATE, betas=_BETAS, weight_decay=_DECAY)

    def after_step(self, done: int, steps: int) -> None:
        """Move the shares by a held-out batch."""
        net = self._supernet
        x, labels = self._held_out.batch(done)
        net.searching = True
        try:
            optimizer: OuterAdam = net.optimizer  # type: ignore[assignment]
            optimizer.step(functional.cross_entropy(net(x), labels))
        finally:
            net.searching = False


def search_cells(task: ReductionTask, order: str, *, nodes: int, width: int, epochs: int) -> str:
    """Search both cells on the task's data; the text of ``cells`` without the order.

    Raises:
        Interrupted: stopped; the same call resumes from the task's work directory.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.finetune.seed)
        supernet = MicroSupernet(order, nodes, width, task.spec)
    data, held_out = split_training(task)
    companion = _Architect(supernet, HeldOut(task, held_out))
    config = replace(task.finetune, epochs=epochs, learning_rate=_WEIGHTS_RATE, distill_weight=0.0, ema=0.0)
    train_student(replace(task, data=data), supernet, config, "search", companion=companion, keep="last")
    return supernet.cells()
