"""How much the accuracy depends on each stage's ReLUs.

C_k = (A_k - A_0) / N_k^0.07, where A_k is the validation accuracy of the network finetuned, with
distillation, with the ReLUs of stage k only, A_0 the same without any ReLU, and N_k the stage's ReLU count.
The stem's ReLUs belong to stage 1.

Source: DeepReDuce (Jha et al., ICML 2021, arXiv 2103.01396) ranks stages by accuracy against ReLU cost; the
exponent 0.07 and the use of a gain over the linear network are our reading of it, not checked in the paper.
"""

import copy
from dataclasses import dataclass, replace

from pi_system.reduce.method import ReductionTask
from pi_system.reduce.training import train_student
from pi_system.train.relu import named_relus

_EXPONENT = 0.07


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCriticality:
    """One stage: its active ReLUs, validation accuracy with these only, and C_k."""

    stage: int
    relus: int
    accuracy: float
    criticality: float


def measure_criticality(task: ReductionTask, epochs: int) -> list[StageCriticality]:
    """Measure every stage of the task's network with a short finetuning each; most critical first."""
    relus = named_relus(task.network)
    linear = _accuracy(task, 0, epochs)
    found = []
    for stage in sorted({relu.stage for relu in relus.values()}):
        count = sum(relu.active for relu in relus.values() if relu.stage == stage)
        if count == 0:
            continue
        accuracy = _accuracy(task, stage, epochs)
        found.append(
            StageCriticality(
                stage=stage, relus=count, accuracy=accuracy, criticality=(accuracy - linear) / count**_EXPONENT
            )
        )
    found.sort(key=lambda entry: entry.criticality, reverse=True)
    return found


def _accuracy(task: ReductionTask, stage: int, epochs: int) -> float:
    """Validation accuracy with the ReLUs of one stage only; stage 0 has none.

    A finished training resumes at its end, so a measurement is not repeated after a kill.
    """
    student = copy.deepcopy(task.network)
    for relu in named_relus(student).values():
        if relu.stage != stage:
            relu.set_mask(relu.mask & False)
    fitted = train_student(task, student, replace(task.finetune, epochs=epochs), f"criticality-{stage}")
    return fitted.validation.accuracy
