"""Unstructured pruning, a control: single weights become zero, and nothing that private inference pays for changes.

The weights of all convolutions and linear layers are ranked together, by their magnitude or by SNIP's |w dL/dw| over
some training pictures, and the best share stays; the budget is read as that share: a tenth of the ReLUs means a tenth
of the weights. The others stay zero while the network is finetuned with distillation. ReLUs, rounds and bytes are
those of the whole network under every backend, because what is zero is the server's secret: a protocol that skipped
it would tell the client where. Tests assert it.

Sources: ``Unstructured.SOURCE`` (magnitude; the paper prunes in turns, here once); Lee et al., ICLR 2019, arXiv
1810.02340 (SNIP, there before training). The masks are those of ``torch.nn.utils.prune``.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune

from pi_system.errors import BudgetError, ConfigError
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.sensitivity import sample_batches
from pi_system.reduce.training import train_student
from pi_system.train.networks import Classifier
from pi_system.train.parallel import from_first
from pi_system.train.relu_map import ReluMap

_CRITERIA = ("magnitude", "snip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstructured:
    """Unstructured pruning: as large a share of the weights stays as the budget is of the ReLUs; all ReLUs do."""

    REDUCES: ClassVar[str] = "weights, none of the ReLUs: a control"
    SOURCE: ClassVar[str] = "Han, Pool, Tran, Dally, NIPS 2015, arXiv 1506.02626"
    DIFFERS: ClassVar[str] = (
        "pruned once, by magnitude or SNIP's measure; the budget's share of the ReLUs is the share of weights that stay"
    )
    KEEPS_RELUS: ClassVar[bool] = True

    criterion: str = option("magnitude", "What weights are ranked by.", choices=_CRITERIA)

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """Prune to the budget's share of the weights; the ReLU map is the task's.

        Raises:
            BudgetError: not one weight would stay.
            ConfigError: unknown criterion.
            Interrupted: stopped; the same task resumes.
        """
        if self.criterion not in _CRITERIA:
            raise ConfigError(f"criterion: expected {' or '.join(_CRITERIA)}; found {self.criterion!r}")
        student = copy.deepcopy(task.network)
        layers = _weighted(student)
        weights = sum(layer.weight.numel() for layer in layers.values())
        present = ReluMap.of(student).count
        kept = weights * task.budget // present
        if kept < 1:
            raise BudgetError(
                -(-present // weights), f"whose share of all is that of one of {weights} weights", task.budget
            )
        scores = {name: layer.weight.detach().abs() for name, layer in layers.items()}
        if self.criterion == "snip":
            scores = _saliency(task)
        prune.global_unstructured(
            [(layer, "weight") for layer in layers.values()],
            pruning_method=prune.L1Unstructured,
            importance_scores={(layer, "weight"): scores[name] for name, layer in layers.items()},
            amount=weights - kept,
        )
        fitted = train_student(task, student, task.finetune, "finetune")
        for layer in layers.values():
            prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
        report = {"criterion": self.criterion, "weights": weights, "kept": kept, "density": _density(layers)}
        return ReductionResult(spec=task.spec, network=student, fitted=fitted, report=report)


def _weighted(network: nn.Module) -> dict[str, Any]:
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}


def _density(layers: Mapping[str, Any]) -> dict[str, float]:
    """Share of the weights of each layer that are not zero."""
    return {name: float((layer.weight != 0).float().mean()) for name, layer in layers.items()}


def _saliency(task: ReductionTask) -> dict[str, Tensor]:
    """|w dL/dw| by layer, over some training pictures."""
    network: Classifier = copy.deepcopy(task.network).to(task.finetune.torch_device()).train()
    for x, labels in sample_batches(network, task):
        functional.cross_entropy(network(x), labels).backward()  # type: ignore[no-untyped-call]
    layers = _weighted(network)
    return from_first({name: (layer.weight.grad * layer.weight).detach().abs().cpu() for name, layer in layers.items()})
