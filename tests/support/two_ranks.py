"""Started twice by torchrun: gradients and batch statistics of two processes against those of one, in float64.

``two_ranks.py COMMANDS``: then runs pi-train's commands, a JSON list of their arguments, one after the other. Prints a
line of JSON for each and one for the gradients, first.
"""

import copy
import json
import os
import sys
from unittest.mock import DEFAULT, patch

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from pi_system.cli.train import main as pi_train
from pi_system.train import NetworkSpec, build_network
from pi_system.train.parallel import any_of, average_, from_first, is_first, joined, replicate, share_of
from pi_system.train.parallel import shared_statistics as shared


def _step(network: nn.Module, forward: nn.Module, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    functional.cross_entropy(forward(x), labels).backward()  # type: ignore[no-untyped-call]
    gradients = {name: value.grad for name, value in network.named_parameters() if value.grad is not None}
    return gradients | dict(network.named_buffers())


def gradients() -> dict[str, object]:
    """Their largest difference, and whether the helpers share a mean, the first one's value and anyone's wish."""
    torch.manual_seed(0)
    x, labels = torch.randn(16, 1, 8, 8, dtype=torch.float64), torch.arange(16) % 10
    alone = build_network(NetworkSpec.parse("resnet18:m=2,size=8,channels=1,classes=10"), seed=0).double().train()
    network = copy.deepcopy(alone)
    expected = _step(alone, alone, x, labels)
    with shared(network):
        found = _step(network, replicate(network), share_of(x), share_of(labels))
    mine = torch.tensor([1.0 if is_first() else 3.0])
    average_([mine])
    agreed = mine.item() == 2.0 and from_first(is_first()) and any_of(not is_first())
    pairs = ((value.double(), found[name].double()) for name, value in expected.items())
    return {"difference": max(float((one - two).nan_to_num().abs().max()) for one, two in pairs), "shared": agreed}


def main() -> None:
    torch.set_num_threads(1)
    # The processes meet once; what pi-train does for that by itself is held by runs of it alone.
    with joined(), patch.multiple(distributed, init_process_group=DEFAULT, destroy_process_group=DEFAULT):
        found = gradients()
        if is_first():
            sys.stdout.write(json.dumps(found) + "\n")
        for command in json.loads(sys.argv[1]):
            pi_train(command, standalone_mode=False)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # torch's threads may abort a process that is on its way out; what is tested here has passed
