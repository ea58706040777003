"""SNIP of ReLUs: a baseline that scores every ReLU once, by what a small change of it does to the loss.

A ReLU becomes alpha ReLU(x) + (1 - alpha) x; its score is |dL/dalpha| at alpha = 1, summed over some training
pictures (a channel's is of the sum over its positions). The best ones within the budget stay, and the network is
finetuned with distillation.

Source: ``Snip.SOURCE``, section 4.1, where the same measure scores weights before training. SNL's figures show it for
ReLUs (12.9K: 56.8 %, 49.4K: 63.7 % on CIFAR-100); how that baseline was run there could not be verified: scores of the
trained network, and finetuning as for the other methods, are our choice.
"""

import copy
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from pi_system.reduce.indicators import SoftIndicator
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.selection import check_reachable, select_best
from pi_system.reduce.sensitivity import sample_batches
from pi_system.reduce.training import apply_masks, insert_indicators, train_student
from pi_system.train.parallel import from_first
from pi_system.train.relu import named_relus
from pi_system.train.relu_map import ReluMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Snip:
    """SNIP of ReLUs: the ones whose removal moves the loss most stay, scored once."""

    REDUCES: ClassVar[str] = "ReLUs, by pixel or channel"
    SOURCE: ClassVar[str] = "Lee, Ajanthan, Torr, ICLR 2019, arXiv 1810.02340"
    DIFFERS: ClassVar[str] = (
        "the measure is the paper's, of weights, applied to ReLUs of the trained network as a baseline; how "
        "SNL's authors ran theirs is not verified"
    )

    granularity: str = option("pixel", "What one decision is about.", choices=("pixel", "channel"))

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: not one channel is within the budget.
            Interrupted: stopped; the same task resumes.
        """
        relus = named_relus(task.network)
        check_reachable(relus, self.granularity, task.budget)
        allowed = {name: relu.mask.cpu() for name, relu in relus.items()}
        student = copy.deepcopy(task.network)
        scores = relu_saliency(task, self.granularity)
        apply_masks(named_relus(student), select_best(scores, allowed, task.budget))
        fitted = train_student(task, student, task.finetune, "finetune")
        report = {"granularity": self.granularity, "layers": ReluMap.of(student).counts}
        return ReductionResult(spec=task.spec, network=student, fitted=fitted, report=report)


def relu_saliency(task: ReductionTask, granularity: str) -> dict[str, Tensor]:
    """Score of every entry by layer, float of ``indicator_shape``, on the CPU; the task's network is not changed."""
    network = copy.deepcopy(task.network).to(task.finetune.torch_device()).train()
    indicators = insert_indicators(network, SoftIndicator, granularity)
    for x, labels in sample_batches(network, task):
        functional.cross_entropy(network(x), labels).backward()  # type: ignore[no-untyped-call]
    found = {name: one.alpha.grad for name, one in indicators.items()}
    return from_first({name: gradient[0].abs().cpu() for name, gradient in found.items() if gradient is not None})
