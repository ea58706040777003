"""Started twice by torchrun: gradients and batch statistics of two processes against those of one, in float64."""

import copy
import os
import sys

import torch
from torch import Tensor, nn
from torch.nn import functional

from pi_system.train import NetworkSpec, build_network
from pi_system.train.parallel import any_of, average_, from_first, is_first, joined, replicate, share_of
from pi_system.train.parallel import shared_statistics as shared


def _step(network: nn.Module, forward: nn.Module, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    functional.cross_entropy(forward(x), labels).backward()  # type: ignore[no-untyped-call]
    gradients = {name: value.grad for name, value in network.named_parameters() if value.grad is not None}
    return gradients | dict(network.named_buffers())


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, labels = torch.randn(16, 1, 8, 8, dtype=torch.float64), torch.arange(16) % 10
    alone = build_network(NetworkSpec.parse("resnet18:m=2,size=8,channels=1,classes=10"), seed=0).double().train()
    network = copy.deepcopy(alone)
    expected = _step(alone, alone, x, labels)
    with joined():
        with shared(network):
            found = _step(network, replicate(network), share_of(x), share_of(labels))
        worst = max(
            float((value.double() - found[name].double()).nan_to_num().abs().max()) for name, value in expected.items()
        )
        if not worst < 1e-9:
            sys.exit(f"expected the gradients and statistics of one process; found a difference of {worst}")
        mine = torch.tensor([1.0 if is_first() else 3.0])
        average_([mine])
        if not (mine.item() == 2.0 and from_first(is_first()) and any_of(not is_first())):
            sys.exit("expected the mean, the first one's value, and that any process can stop all")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # torch's threads may abort a process that is on its way out; what is tested here has passed
