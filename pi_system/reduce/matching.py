"""Post-ReLU activation mismatch (PRAM): a partial network's activations are drawn to those of the whole one.

weight / 2 times the squared distance between the two networks' activations, each picture's scaled to length one, summed
over layers and averaged over pictures. Only the last ReLU layer of each stage is compared, for speed.

Source: SENet, arXiv 2301.09254, from memory: the form and the choice of layers were not verified.
"""

from functools import partial

import torch
from torch import Tensor, nn

from pi_system.train.loop import Companion
from pi_system.train.relu import named_relus


class Matching(Companion):
    """The companion of the finetuning: remembers the last ReLU layers' outputs of both networks of a step."""

    def __init__(self, student: nn.Module, teacher: nn.Module, weight: float) -> None:
        """Watch both networks from here on."""
        self._weight = weight
        self._seen: dict[str, dict[str, Tensor]] = {"student": {}, "teacher": {}}
        relus = named_relus(student)
        last = {relu.stage: name for name, relu in relus.items()}.values()
        self._hooks = [
            network.get_submodule(name).register_forward_hook(partial(self._keep, side, name))
            for side, network in (("student", student), ("teacher", teacher))
            for name in last
        ]

    def _keep(self, side: str, name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._seen[side][name] = output

    def remove(self) -> None:
        """Take the hooks off and forget the activations."""
        for hook in self._hooks:
            hook.remove()
        self._seen.clear()

    def extra_loss(self) -> Tensor:
        """Half the weighted squared distance of the activations, a scalar."""
        gaps = [
            (_unit_length(found) - _unit_length(self._seen["teacher"][name])).square().sum(1).mean()
            for name, found in self._seen["student"].items()
        ]
        return 0.5 * self._weight * torch.stack(gaps).sum()


def _unit_length(activation: Tensor) -> Tensor:
    """(N, C, H, W) to float32 (N, C H W), each row of length one."""
    return nn.functional.normalize(activation.flatten(1).float(), dim=1)
