"""CryptoNAS: a chain of convolutions whose layers have equally many ReLUs, as wide as the budget allows.

The published networks (``train/macro.py``) are fixed architectures of 6, 12 and 24 layers; the ReLUs are layers x
width x pixels, so the width follows from the budget by a division. By default the deepest of them that is at least
half as wide as it was published is taken, else the one of 6 layers. ``network=search`` searches an architecture on
the task's own data first (``macro_search``). The network is trained from new weights with distillation.

Source: ``CryptoNas.SOURCE``; architectures, layout and search checked against the authors' code. Not in the paper, our
choice: which network stands for which budget, and distillation. Its training, 310 epochs with cosine restarts and a
dropout of a half, is not repeated.
"""

from dataclasses import dataclass
from typing import ClassVar

from pi_system.errors import BudgetError, ConfigError
from pi_system.reduce.macro_search import search_macro
from pi_system.reduce.method import ReductionResult, ReductionTask
from pi_system.reduce.options import epochs_of_new_weights, option, rate_of_new_weights
from pi_system.reduce.training import searched_spec, train_new
from pi_system.train.macro import CNETS
from pi_system.train.spec import NetworkSpec

_NETWORKS = ("auto", *CNETS, "search")
_PUBLISHED = {"cnet3": (24, 56), "cnet2": (12, 28), "cnet1": (6, 14)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CryptoNas:
    """CryptoNAS: networks whose layers have equally many ReLUs, published or searched, as wide as fits."""

    REDUCES: ClassVar[str] = "ReLUs, by architecture: balanced layers, skips without ReLUs"
    SOURCE: ClassVar[str] = "Ghodsi, Veldanda, Reagen, Garg, NeurIPS 2020, arXiv 2006.08733"
    DIFFERS: ClassVar[str] = (
        "networks, counts and search of the authors' code; a halving is one 2x2 convolution; no dropout; fewer draws "
        "of the controller; distillation"
    )

    network: str = option("auto", "Architecture; auto: a published one by the budget.", choices=_NETWORKS)
    layers: int = option(6, "Of the architecture that is searched.", within="[1, 1000]", needs=("network=search",))
    search_epochs: int = option(10, "Epochs of the shared weights.", within="[1, 100000]", needs=("network=search",))
    search_width: int = option(12, "Channels in the search.", within="[1, 512]", needs=("network=search",))
    controller_steps: int = option(
        50, "Architectures the controller learns from an epoch.", within="[1, 100000]", needs=("network=search",)
    )
    extra_epochs: int = epochs_of_new_weights()
    learning_rate: float = rate_of_new_weights()

    def reduce(self, task: ReductionTask) -> ReductionResult:
        """See ``ReductionMethod``.

        Raises:
            BudgetError: even a width of 1 is over the budget.
            ConfigError: an option is outside its limits, or the pictures cannot be halved twice.
            Interrupted: stopped; the same task resumes.
        """
        if self.network not in _NETWORKS or self.layers < 3 or self.search_width < 1:
            raise ConfigError(
                f"network, layers, search_width: expected one of {', '.join(_NETWORKS)}, at least 3 and 1; "
                f"found {self.network}, {self.layers}, {self.search_width}"
            )
        spec = self._design(task)
        if self.network == "search":
            arch = search_macro(
                task,
                self.layers,
                width=self.search_width,
                epochs=self.search_epochs,
                controller_steps=self.controller_steps,
            )
            spec = searched_spec(task, "cnet", spec.m, arch)
        network, fitted = train_new(task, spec, None, self.extra_epochs, self.learning_rate)
        report = {"base": spec.base, "m": spec.m, "architecture": spec.architecture}
        return ReductionResult(spec=spec, network=network, fitted=fitted, report=report)

    def _design(self, task: ReductionTask) -> NetworkSpec:
        """The network of the greatest width within the budget; where one is searched, with the first architecture."""
        units = task.budget // (-(-task.spec.size // task.spec.stride)) ** 2
        name, layers = self.network, self.layers
        if name == "auto":
            fitting = (base for base, (count, width) in _PUBLISHED.items() if units >= count * width // 2)
            name = next(fitting, "cnet1")
        if name in _PUBLISHED:
            layers = _PUBLISHED[name][0]
        if units < layers:
            pixels = (-(-task.spec.size // task.spec.stride)) ** 2
            raise BudgetError(layers * pixels, f"those of {layers} layers with one channel each at first", task.budget)
        if name == "search":
            return searched_spec(task, "cnet", units // layers, "-".join("0" * (index + 1) for index in range(layers)))
        return searched_spec(task, name, units // layers, "")
