"""One training by several processes, on one machine or more, started by torchrun.

    torchrun --nproc-per-node 2 -m pi_system.cli.train train --network ... --out RUN

Every process holds the whole network and data, takes its share of each step's pictures, and averages what must be
common: gradients (DistributedDataParallel), batch statistics, importance of ReLUs. So the network that comes out is
that of one process, up to the order of floating-point sums. The first process alone writes files; the others need
the data, and for a reduction the source run, at the same path. A run may go on with another number of processes.

gloo on CPUs, nccl on CUDA. Without torchrun every function here does nothing.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from pi_system.errors import ConfigError

_T = TypeVar("_T")


def _world() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if _world() > 1 else 0


def is_first() -> bool:
    """Whether this process writes files and talks to the user."""
    return rank() == 0


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes, where torchrun started this one; each takes the GPU of its local rank."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def share_of(batch: Tensor) -> Tensor:
    """This process's part of a batch (N, ...): every so many-th picture, N / processes of them.

    Interleaved, so that the first quarter of a batch is the first quarters of all parts.

    Raises:
        ConfigError: the processes do not divide the batch.
    """
    if len(batch) % _world():
        raise ConfigError(f"batch_size: expected a multiple of the {_world()} processes; found {len(batch)}")
    return batch[rank() :: _world()]


def replicate(network: nn.Module) -> nn.Module:
    """The network as it is called in training: its gradients become averages over all processes."""
    if _world() == 1:
        return network
    return DistributedDataParallel(network)


def average_(tensors: Iterable[Tensor]) -> None:
    """Replace tensors of one dtype by their means over all processes, in one message."""
    if _world() == 1:
        return
    parts = list(tensors)
    flat = torch.cat([part.flatten() for part in parts])
    distributed.all_reduce(flat)
    flat /= _world()
    for part, mean in zip(parts, torch.split(flat, [part.numel() for part in parts]), strict=True):
        part.copy_(mean.view(part.shape))


def any_of(flag: bool) -> bool:
    """Whether the flag is set in any process: so that all of them stop after the same step."""
    if _world() == 1:
        return flag
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = torch.tensor(float(flag), device=device)
    distributed.all_reduce(found)
    return bool(found > 0)


def from_first(value: _T) -> _T:
    """The first process's value, in all of them."""
    if _world() == 1:
        return value
    box: list[Any] = [value]
    distributed.broadcast_object_list(box)
    return box[0]  # type: ignore[no-any-return]


@contextmanager
def shared_statistics(network: nn.Module) -> Iterator[None]:
    """Within it, batch normalisation takes its statistics over the pictures of all processes."""
    norms = [module for module in network.modules() if type(module) is nn.BatchNorm2d] if _world() > 1 else []
    for norm in norms:
        norm.__class__ = _SharedBatchNorm
    try:
        yield
    finally:
        for norm in norms:
            norm.__class__ = nn.BatchNorm2d


class _SharedBatchNorm(nn.BatchNorm2d):
    """torch's SyncBatchNorm is for CUDA only; this one is for any device, with two sums over the processes."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, (N, C, H, W), as BatchNorm2d would the whole batch; computes in float32."""
        if not self.training:
            return super().forward(x)
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            raise ConfigError("batch normalisation: expected running statistics with a momentum")
        values = x if x.dtype == torch.float64 else x.float()
        mean: Tensor = _AllMean.apply(values.mean((0, 2, 3)))  # type: ignore[no-untyped-call]
        centred = values - mean[:, None, None]
        variance: Tensor = _AllMean.apply(centred.square().mean((0, 2, 3)))  # type: ignore[no-untyped-call]
        count = x.numel() // x.shape[1] * _world()
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        scale = (variance + self.eps).rsqrt() * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class _AllMean(torch.autograd.Function):
    """The mean of a tensor over all processes, through which gradients flow to all of them."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _mean(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _mean(grads[0])


def _mean(value: Tensor) -> Tensor:
    total = value.clone()
    distributed.all_reduce(total)
    total /= _world()
    return total
