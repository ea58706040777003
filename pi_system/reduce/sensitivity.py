"""How much the network needs each ReLU layer, measured on the trained network as it is.

Two measures: ``loss_of_layers`` replaces one layer's ReLUs by identities and looks at the loss; nothing is
trained. ``pruning_density`` asks how many weights in front of a ReLU layer survive a global pruning: layers whose
weights survive are sensitive to pruning, and, as SENet observes, insensitive to losing their ReLUs.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from pi_system.reduce.method import ReductionTask
from pi_system.train.data.augment import Normalisation
from pi_system.train.parallel import from_first
from pi_system.train.relu import MaskedReLU, named_relus

_Key = TypeVar("_Key", str, int)
_PICTURES = 512
_BATCH = 128


def loss_of_layers(task: ReductionTask) -> dict[str, float]:
    """Rise of the mean cross-entropy on some training pictures when a layer's ReLUs become identities, by name.

    Batch normalisation takes each batch's statistics, as it would after a moment of training; layers without
    active ReLUs have no rise. A rise may be negative: some layers are better off without their ReLUs.
    """
    return _rises(task, {name: [name] for name in named_relus(task.network)})


def loss_of_stages(task: ReductionTask) -> dict[int, float]:
    """The same for all ReLUs of a stage at once, by stage; the stem belongs to stage 1."""
    stages: dict[int, list[str]] = {}
    for name, relu in named_relus(task.network).items():
        stages.setdefault(relu.stage, []).append(name)
    return _rises(task, stages)


def _rises(task: ReductionTask, groups: Mapping[_Key, list[str]]) -> dict[_Key, float]:
    network = copy.deepcopy(task.network).to(task.finetune.torch_device()).train()
    relus = named_relus(network)
    with torch.no_grad():
        whole = mean_loss(network, task)
        rise = {}
        for key, names in groups.items():
            masks = {name: relus[name].mask.clone() for name in names}
            for name, mask in masks.items():
                relus[name].set_mask(mask & False)
            active = any(bool(mask.any()) for mask in masks.values())
            rise[key] = mean_loss(network, task) - whole if active else 0.0
            for name, mask in masks.items():
                relus[name].set_mask(mask)
    return from_first(rise)


def mean_loss(network: nn.Module, task: ReductionTask) -> float:
    """Mean cross-entropy of ``network`` on some training pictures."""
    losses = [float(functional.cross_entropy(network(x), labels)) for x, labels in sample_batches(network, task)]
    return sum(losses) / len(losses)


def sample_batches(network: nn.Module, task: ReductionTask) -> Iterator[tuple[Tensor, Tensor]]:
    """A fixed selection of training pictures, normalised, in batches."""
    device = next(network.parameters()).device
    normalise = Normalisation.of(task.data.preprocess, device)
    generator = torch.Generator().manual_seed(task.finetune.seed)
    index = torch.randperm(len(task.data.train), generator=generator)[:_PICTURES]
    for part in torch.split(index, _BATCH):
        if len(part) > 1:
            pictures = task.data.train.subset(part).to(device)
            yield normalise(pictures.images), pictures.labels


def pruning_density(task: ReductionTask, density: float) -> dict[str, float]:
    """Share of the weights in front of each ReLU layer that a global pruning to ``density`` keeps, by layer name.

    A weight's worth is |w dL/dw|, over some training pictures.
    """
    network = copy.deepcopy(task.network).to(task.finetune.torch_device()).train()
    network.zero_grad()
    for x, labels in sample_batches(network, task):
        functional.cross_entropy(network(x), labels).backward()  # type: ignore[no-untyped-call]
    feeding = feeding_convolutions(network)
    worth = {name: torch.cat([_worth(conv) for conv in convs]) for name, convs in feeding.items()}
    everything = torch.cat(list(worth.values()))
    kept = max(1, int(density * len(everything)))
    threshold = everything.kthvalue(len(everything) - kept + 1).values
    return from_first({name: float((values >= threshold).float().mean()) for name, values in worth.items()})


def _worth(conv: nn.Conv2d) -> Tensor:
    gradient = conv.weight.grad
    product = torch.zeros_like(conv.weight) if gradient is None else conv.weight * gradient
    return product.detach().abs().flatten()


def feeding_convolutions(network: nn.Module) -> Mapping[str, list[nn.Conv2d]]:
    """The convolutions between each ReLU layer and the one before it, shortcuts included."""
    found: dict[str, list[nn.Conv2d]] = {}
    since: list[nn.Conv2d] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            since.append(module)
        elif isinstance(module, MaskedReLU):
            found[name], since = since, []
    return found
