"""Shallow networks: a ReLU goes together with a convolution, so ReLUs, rounds and multiply-accumulates all fall.

1. Sensitivity of each ReLU layer: rise of the loss when the trained network loses it, with its sign. 2. The layers
with the highest summed sensitivity within the budget are kept (``shallow_form``). 3. Where the ReLU inside a block
goes, the convolutions around it are one linear map, and one convolution takes their place: of their exact product's
size where that costs no more multiply-accumulates than the two (``exact``), else 3x3. A block whose ReLUs are all gone
is left out; where it changes the width or size it is one convolution. A ReLU after an addition goes alone: nothing
merges over it. 4. First weights: the old network's normalisations are measured again without the ReLUs that go; merged
kernels are exact products, the normalisation's shift included, or their middle in 3x3, brought nearer by least squares
on the inputs' covariance (``shallow_fit``). 5. Training with distillation from the old network, if asked for with gates
between the deep and the shallow blocks first (``shallow_gate``).

Source: "Making Models Shallow Again" (``Shallow.SOURCE``); no public code. Verified: layers
chosen by ReLU sensitivity, the convolutions around a dropped ReLU merged, joint gain in ReLUs and linear
operations. Not verified, our choice: the sensitivity measure, leaving out whole blocks, exact products, the fit, how
the gate is trained, and training the shallow network at once by default, where the paper trains a gate.
"""

import copy
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch.optim.swa_utils import update_bn

from pi_system.errors import ConfigError
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import option
from pi_system.reduce.sensitivity import loss_of_layers, sample_batches
from pi_system.reduce.shallow_fit import fit_merged
from pi_system.reduce.shallow_form import depth_of, most_sensitive
from pi_system.reduce.shallow_gate import GateTraining, gated
from pi_system.reduce.shallow_weights import inherit_weights
from pi_system.reduce.training import split_epochs, train_student
from pi_system.train.networks import Classifier, build_network
from pi_system.train.relu import named_relus
from pi_system.train.spec import NetworkSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Shallow:
    """ReLUs and depth together: the convolutions around a dropped ReLU become one."""

    REDUCES: ClassVar[str] = "ReLU layers, convolutions and multiply-accumulates"
    SOURCE: ClassVar[str] = "Kundu et al., CVPRW 2023, arXiv 2304.13274"
    DIFFERS: ClassVar[str] = (
        "sensitivity by loss; kernels are fitted or exact; trained without a gate unless `gate` is set"
    )

    extra_epochs: int = option(0, "Epochs beyond the recipe's, for the new convolutions.", within="[0, 100000]")
    exact: bool = option(True, "Merge two convolutions into one of their product's size where that is no dearer.")
    fit: bool = option(True, "Fit merged 3x3 kernels to their inputs; else they start as the middle of the product.")
    gate: float = option(
        0.0, "Share of the epochs with gates between the deep and the shallow blocks.", within="[0, 1]"
    )
    pressure: float = option(0.1, "Weight of the gates in the loss.", within="[0, inf)", needs=("gate",))

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: its smallest ReLU layer is over the budget.
            ConfigError: the network is of bottleneck blocks, or has no blocks or ReLUs left to take.
            Interrupted: stopped; the same task resumes.
        """
        self._check(task)
        relus = named_relus(task.network)
        most_sensitive(dict.fromkeys(relus, 0.0), relus, task.budget)  # refuses before it measures
        sensitivity = loss_of_layers(task)
        kept = most_sensitive(sensitivity, relus, task.budget)
        spec = replace(task.spec, depth=depth_of(task.spec, task.network, kept, exact=self.exact))
        network = self._start(task, spec, kept)
        training = replace(task.finetune, epochs=task.finetune.epochs + self.extra_epochs)
        if self.gate:
            first, rest = split_epochs(replace(task, finetune=training), self.gate)
            both = gated(task.network, network, spec.full_depth, spec.stage_depth)
            companion = GateTraining(both, self.pressure)
            train_student(task, both, first, "gates", companion=companion, keep="last")
            training = rest
        fitted = train_student(task, network, training, "finetune")
        report = {"sensitivity": sensitivity, "relu_layers_kept": sorted(kept), "depth": "-".join(spec.stage_depth)}
        return ReductionResult(spec=spec, network=network, fitted=fitted, report=report)

    def _check(self, task: ReductionTask) -> None:
        whole = all(relu.active == relu.size for relu in named_relus(task.network).values())
        if task.spec.kind not in ("basic", "preactivation", "vgg") or task.spec.depth or task.spec.filters or not whole:
            raise ConfigError(
                "shallow: expected a network of basic blocks or VGG's convolutions, with all its blocks and ReLUs; "
                f"found {task.spec}"
                + ("" if whole else " with a reduced ReLU map; make the network shallow first, then reduce its ReLUs")
            )
        if self.gate and task.spec.kind == "vgg":
            raise ConfigError(f"gate: expected 0 for a network without blocks; found {self.gate}")

    def _start(self, task: ReductionTask, spec: NetworkSpec, kept: set[str]) -> Classifier:
        deep = copy.deepcopy(task.network).cpu()
        for name, relu in named_relus(deep).items():
            relu.set_mask(torch.full(relu.shape, name in kept))
        batches = [x for x, _ in sample_batches(deep, task)]
        update_bn(batches, deep)
        deep.eval()
        network = build_network(spec, seed=task.finetune.seed)
        merged = inherit_weights(deep, network, spec.full_depth, spec.stage_depth)
        if self.fit:
            fit_merged(network, deep, merged, batches)
        return network.train()
