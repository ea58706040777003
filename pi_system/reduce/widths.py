"""Several widths from one network (SENet++): narrower networks that share the first channels of every layer.

A network of the share s of the width m takes the first s of the channels of every convolution of the whole network
(ordered channels), the same part of its ReLU masks, and has batch normalisations of its own. In every step the whole
network learns as it would alone, and each narrower one to give the teacher's logits: temperature^2 times the
Kullback-Leibler divergence, added to the loss.

Sources: ordered dropout: FjORD, Horvath et al., 2021, arXiv 2102.13451; a normalisation a width: SENet, arXiv
2301.09254, figure 3. Differs there: one width is drawn a step, and each has the whole loss.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from pi_system.errors import ConfigError
from pi_system.reduce.matching import Matching
from pi_system.train.config import TrainConfig
from pi_system.train.loop import Companion
from pi_system.train.networks import Classifier, build_network
from pi_system.train.relu import named_relus
from pi_system.train.spec import NetworkSpec


def parse_widths(text: str) -> list[float]:
    """Read shares of the width, as ``0.5,0.25``.

    Raises:
        ConfigError: one is not between 0 and 1, or occurs twice.
    """
    try:
        shares = [float(part) for part in text.split(",") if part]
    except ValueError:
        shares = [0.0]
    if not all(0 < share < 1 for share in shares) or len(set(shares)) != len(shares):
        raise ConfigError(f"widths: expected different shares between 0 and 1, as 0.5,0.25; found {text!r}")
    return shares


class Widths(Companion):
    """The companion of the finetuning: its networks are a part of ``student`` until they are taken.

    Args:
        spec: of the whole network.
        student: the whole network, with its masks.
        teacher: gives the logits to learn.
        shares: of the width m.
        config: the recipe; its seed and temperature.
        matching: the companion of the whole network.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        student: Classifier,
        teacher: nn.Module,
        shares: Sequence[float],
        config: TrainConfig,
        matching: Matching,
    ) -> None:
        """Build the narrower networks into the student."""
        self._student, self._matching, self._heat = student, matching, config.distill_temperature
        self._specs = {f"width-{share:g}": replace(spec, m=max(1, round(spec.m * share))) for share in shares}
        masks = {name: relu.mask for name, relu in named_relus(student).items()}
        narrow = []
        for one in self._specs.values():
            network = build_network(one, seed=config.seed)
            for name, relu in named_relus(network).items():
                relu.set_mask(masks[name][tuple(slice(0, size) for size in relu.shape)])
            for name in _shared(network):
                network.get_parameter(name).requires_grad_(False)  # the student's are used instead
            narrow.append(network)
        student.narrow = nn.ModuleList(narrow)
        self._seen: dict[str, Tensor] = {}
        self._hooks = [
            student.register_forward_pre_hook(self._keep_input),
            teacher.register_forward_hook(self._keep_logits),
        ]

    def _keep_input(self, module: nn.Module, inputs: Any) -> None:
        self._seen["x"] = inputs[0]

    def _keep_logits(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self._seen["logits"] = output

    def extra_loss(self) -> Tensor:
        """The matching's, and that of every narrower network."""
        target = functional.log_softmax(self._seen["logits"].float() / self._heat, dim=1)
        total = self._matching.extra_loss()
        for network in self._networks():
            logits = functional_call(network, self._slices(network), (self._seen["x"],)).float()
            found = functional.log_softmax(logits / self._heat, dim=1)
            gap = functional.kl_div(found, target, reduction="batchmean", log_target=True)
            total = total + self._heat * self._heat * gap
        return total

    def take(self) -> dict[str, tuple[NetworkSpec, Classifier]]:
        """Take the narrower networks out of the student, each with its own copy of the shared weights."""
        found = {}
        for (name, spec), network in zip(self._specs.items(), self._networks(), strict=True):
            with torch.no_grad():
                for parameter, value in self._slices(network).items():
                    network.get_parameter(parameter).requires_grad_(True).copy_(value)
            found[name] = (spec, network.eval())
        del self._student.narrow
        for hook in self._hooks:
            hook.remove()
        return found

    def _networks(self) -> list[Classifier]:
        return list(self._student.narrow)  # type: ignore[arg-type]

    def _slices(self, network: Classifier) -> dict[str, Tensor]:
        """The student's weights, cut to the shapes of a narrower network's."""
        return {
            name: self._student.get_parameter(name)[tuple(slice(0, n) for n in network.get_parameter(name).shape)]
            for name in _shared(network)
        }


def _shared(network: nn.Module) -> list[str]:
    """Parameters of convolutions and linear layers."""
    return [
        f"{path}.{name}"
        for path, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
        for name, _ in module.named_parameters(recurse=False)
    ]
