"""First weights of a shallow network: copies where a layer is still there, merged kernels where two became one."""

from torch import Tensor, nn
from torch.nn import functional

from pi_system.train.blocks import BasicBlock, PreActivationBlock

__all__ = ["composed_kernel", "inherit_weights"]


def inherit_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy into ``target`` what it shares by name and shape with ``source``; blocks made shallow get merged kernels.

    The first blocks of a stage are those that remain, so names agree.
    """
    mine, theirs = target.state_dict(), source.state_dict()
    shared = {name: value for name, value in theirs.items() if name in mine and mine[name].shape == value.shape}
    target.load_state_dict(shared, strict=False)
    originals = dict(source.named_modules())
    for name, block in target.named_modules():
        deep = originals.get(name)
        if isinstance(block, BasicBlock) and isinstance(deep, BasicBlock) and _became_shallow(deep, block):
            _merge(block.conv1, deep.conv1, deep.bn1, deep.conv2)
            block.bn1.load_state_dict(deep.bn2.state_dict())
        elif (
            isinstance(block, PreActivationBlock)
            and isinstance(deep, PreActivationBlock)
            and _became_shallow(deep, block)
        ):
            _merge(block.conv1, deep.conv1, deep.bn2, deep.conv2)


def _became_shallow(deep: BasicBlock | PreActivationBlock, block: BasicBlock | PreActivationBlock) -> bool:
    same_input = deep.conv1.weight.shape == block.conv1.weight.shape
    return same_input and isinstance(deep.conv2, nn.Conv2d) and not isinstance(block.conv2, nn.Conv2d)


def _merge(target: nn.Conv2d, first: nn.Conv2d, between: nn.Module, second: nn.Module) -> None:
    if not isinstance(between, nn.BatchNorm2d) or between.running_var is None or not isinstance(second, nn.Conv2d):
        raise TypeError(f"expected two convolutions around a batch normalisation; found {between}, {second}")
    scale = between.weight / (between.running_var + between.eps).sqrt()
    whole = composed_kernel(first.weight * scale[:, None, None, None], second.weight, first.stride[0])
    edge = (whole.shape[-1] - target.kernel_size[0]) // 2
    size = target.kernel_size[0]
    target.weight.data.copy_(whole[..., edge : edge + size, edge : edge + size])


def composed_kernel(first: Tensor, second: Tensor, stride: int) -> Tensor:
    """The kernel (out, in, k, k) of two convolutions, the first with a stride, applied one after the other.

    Args:
        first: (middle, in, k1, k1).
        second: (out, middle, k2, k2); k = (k2 - 1) stride + k1.
        stride: of the first; the product has it too.
    """
    return functional.conv_transpose2d(second, first, stride=stride)
