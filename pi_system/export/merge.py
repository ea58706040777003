"""Rewriting passes over a draft: dead nodes go, adjacent linear layers become one where that costs no more.

Batch normalisation arrives here as a 1x1 depthwise convolution, so folding it is one case of merging. A pair
merges only where the result is exact on real numbers (a bias that would have to cross zero padding is not) and
where the multiply-accumulates of the merged layer are at most those of the two.
"""

from math import prod

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import Affine, AvgPool2d, Conv2d, Flatten, Gather, Linear, Node, WeightedNode
from pi_system.export.draft import Array, Draft

Merged = tuple[Conv2d | Linear, Array, Array]


def remove_dead_nodes(draft: Draft) -> None:
    """Drop every node that the output does not depend on; the output becomes the last node."""
    live = {draft.output, next(iter(draft.nodes))}
    for node in reversed(draft.nodes.values()):
        if node.name in live:
            live.update(node.inputs)
    for name in [name for name in draft.nodes if name not in live]:
        draft.remove(name)


def share_equal_layers(draft: Draft) -> None:
    """Let linear nodes of equal inputs, settings and weights be one.

    Every reader of a normalised value makes its scale anew: as two, neither folds into the layer before them, and the
    scale behind a linear bottleneck costs its residual the bits of its weights once more.
    """
    found: dict[tuple[str, bytes, bytes], str] = {}
    for name in list(draft.nodes):
        node = draft.nodes[name]
        if isinstance(node, Conv2d | Linear | Affine | Gather):
            tensors = (tensors.get(name, np.zeros(0)) for tensors in (draft.weights, draft.biases))
            weight, bias = (np.ascontiguousarray(tensor).tobytes() for tensor in tensors)
            first = found.setdefault((node.model_dump_json(exclude={"name"}), weight, bias), name)
            if first != name:
                draft.replace(name, first)


def merge_linear_layers(draft: Draft) -> None:
    """Merge pairs of weighted layers until none is left that merges."""
    while any(_merge_at(draft, node) for node in list(draft.nodes.values())):
        pass


def _merge_at(draft: Draft, second: Node) -> bool:
    """Merge ``second`` into the layer before it, if it may be; the merged layer keeps the first one's name."""
    if second.name not in draft.nodes:
        return False
    if isinstance(second, Affine):
        return _shift_into(draft, second)
    if not isinstance(second, WeightedNode) or draft.users(second.inputs[0]) != [second.name]:
        return False
    first = draft.nodes[second.inputs[0]]
    merged: Merged | None
    match first, second:
        case Linear(), Linear():
            merged = _linear_pair(draft, first, second)
        case Conv2d(), Conv2d():
            merged = _pointwise_second(draft, first, second) or _pointwise_first(draft, first, second)
        case _:
            return False
    if merged is None or _macs(merged[0]) > _macs(first) + _macs(second):
        return False
    draft.nodes[first.name], draft.weights[first.name], draft.biases[first.name] = merged
    draft.replace(second.name, first.name)
    return True


def sum_pools(draft: Draft) -> None:
    """Let an average pool whose division is no change of scale sum, where all that read it have weights to divide.

    A rounded 1/49 would need as many bits as the weights, and they would be wide in the layer behind it.
    """
    for node in list(draft.nodes.values()):
        if isinstance(node, AvgPool2d) and prod(node.kernel).bit_count() != 1:
            readers = _weighted_readers(draft, node.name)
            if readers:
                draft.nodes[node.name] = node.model_copy(update={"summed": True})
                for name in readers:
                    draft.weights[name] = draft.weights[name] / prod(node.kernel)


def _weighted_readers(draft: Draft, name: str) -> set[str]:
    """The weighted layers that alone read a value, through nodes that keep its scale; empty if something else does."""
    found: set[str] = set()
    for user in draft.users(name):
        if user in draft.weights:
            found.add(user)
        elif user != "output" and isinstance(draft.nodes[user], Flatten | Gather):
            behind = _weighted_readers(draft, user)
            if not behind:
                return set()
            found |= behind
        else:
            return set()
    return found


def _shift_into(draft: Draft, second: Affine) -> bool:
    """A sign and a shift behind a weighted layer that nothing else reads become part of its weights."""
    first = second.inputs[0]
    if first not in draft.weights or draft.users(first) != [second.name]:
        return False
    sign = -1.0 if second.negated else 1.0
    draft.weights[first] = sign * draft.weights[first]
    draft.biases[first] = sign * draft.biases[first] + draft.biases.get(second.name, 0.0)
    draft.replace(second.name, first)
    return True


def _macs(node: Conv2d | Linear) -> int:
    taps = node.in_features if isinstance(node, Linear) else node.in_channels // node.groups * prod(node.kernel)
    return prod(node.shape) * taps


def _linear_pair(draft: Draft, first: Linear, second: Linear) -> Merged:
    weight, bias = draft.weights[second.name], draft.biases[second.name]
    node = first.model_copy(update={"shape": second.shape})
    return node, weight @ draft.weights[first.name], weight @ draft.biases[first.name] + bias


def _is_pointwise(node: Conv2d) -> bool:
    return node.kernel == (1, 1) and node.padding == (0, 0)


def _is_depthwise(node: Conv2d) -> bool:
    return node.groups == node.in_channels == node.shape[0]


def _pointwise_second(draft: Draft, first: Conv2d, second: Conv2d) -> Merged | None:
    """Any convolution, then 1x1: rows of the first are mixed (or scaled) by the second."""
    if not _is_pointwise(second):
        return None
    weight, mix = draft.weights[first.name], draft.weights[second.name][:, :, 0, 0]
    if _is_depthwise(second):
        weight, bias = weight * mix[:, 0, None, None, None], mix[:, 0] * draft.biases[first.name]
    elif first.groups == second.groups == 1:
        weight, bias = np.einsum("om,mihw->oihw", mix, weight), mix @ draft.biases[first.name]
    else:
        return None
    stride = (first.stride[0] * second.stride[0], first.stride[1] * second.stride[1])
    node = first.model_copy(update={"shape": second.shape, "stride": stride})
    return node, weight, bias + draft.biases[second.name]


def _pointwise_first(draft: Draft, first: Conv2d, second: Conv2d) -> Merged | None:
    """1x1, then any convolution: columns of the second are mixed (or scaled) by the first.

    The first's bias reaches the second everywhere but on its zero padding, so it must be zero if there is any.
    """
    bias = draft.biases[first.name]
    if not _is_pointwise(first) or first.stride != (1, 1) or (second.padding != (0, 0) and bias.any()):
        return None
    weight, mix = draft.weights[second.name], draft.weights[first.name][:, :, 0, 0]
    if _is_depthwise(first):
        merged = weight * _by_group(mix[:, 0], second)[:, :, None, None]
    elif first.groups == second.groups == 1:
        merged = np.einsum("omhw,mi->oihw", weight, mix)
    else:
        return None
    shift = np.einsum("oihw,oi->o", weight, _by_group(bias, second))
    update = {"name": first.name, "inputs": first.inputs, "in_channels": first.in_channels}
    return second.model_copy(update=update), merged, draft.biases[second.name] + shift


def _by_group(per_channel: NDArray[np.float64], node: Conv2d) -> NDArray[np.float64]:
    """Values of the input channels that each output channel of ``node`` sees, (out, in / groups)."""
    groups = per_channel.reshape(node.groups, -1)
    return np.repeat(groups, node.shape[0] // node.groups, axis=0)
