"""Which ReLU layers a shallow network keeps, and what that makes of each block: a digit of ``NetworkSpec.depth``.

A block whose inner ReLU goes is one convolution (digit 1, or 3 where the exact product of its kernels is no dearer than
the two were); one whose ReLUs are all gone is left out (0) where its shortcut is the identity. Of VGG a convolution
whose ReLU goes merges into the next one, so it is left out, unless it is alone in its stage.
"""

from collections.abc import Mapping
from itertools import pairwise, product

from torch import nn

from pi_system.errors import BudgetError
from pi_system.train.blocks import merged_kernel
from pi_system.train.relu import MaskedReLU, named_relus
from pi_system.train.spec import NetworkSpec


def most_sensitive(sensitivity: Mapping[str, float], relus: Mapping[str, MaskedReLU], budget: int) -> set[str]:
    """The ReLU layers with the highest summed sensitivity within the budget, at least one.

    Layers of one size are kept from the most sensitive down, so trying every number of each size finds the optimum.
    Layers that the network is better off without (negative sensitivity) are not kept to fill the budget.

    Raises:
        BudgetError: the smallest layer is over the budget.
    """
    by_size: dict[int, list[str]] = {}
    for name in sorted(relus, key=lambda layer: -sensitivity[layer]):
        by_size.setdefault(relus[name].size, []).append(name)
    fitting = [
        counts
        for counts in product(*(range(len(names) + 1) for names in by_size.values()))
        if 0 < sum(size * count for size, count in zip(by_size, counts, strict=True)) <= budget
    ]
    if not fitting:
        raise BudgetError(min(by_size), "the smallest ReLU layer", budget)
    worth = [
        [sum(sensitivity[name] for name in names[:k]) for k in range(len(names) + 1)] for names in by_size.values()
    ]
    best = max(fitting, key=lambda counts: sum(values[k] for values, k in zip(worth, counts, strict=True)))
    return {name for names, count in zip(by_size.values(), best, strict=True) for name in names[:count]}


def depth_of(spec: NetworkSpec, network: nn.Module, kept: set[str], *, exact: bool) -> str:
    """The network's ``depth`` when these ReLU layers are kept; empty if no block changes.

    Args:
        spec: of ``network``, which has all its blocks.
        network: gives the places of the ReLU layers.
        kept: names of ReLU layers.
        exact: use the kernel of the exact product where that does not raise the multiply-accumulates.
    """
    stages: dict[int, list[list[bool]]] = {}
    places: dict[tuple[int, int], list[bool]] = {}
    for name, relu in named_relus(network).items():
        place = (relu.stage, len(stages.get(relu.stage, [])) if spec.kind == "vgg" else relu.block)
        if relu.block < 0:
            continue
        if place not in places:
            places[place] = []
            stages.setdefault(relu.stage, []).append(places[place])
        places[place].append(name in kept)
    widths = (spec.m if spec.kind == "preactivation" else spec.widths[0], *spec.widths)
    if spec.kind == "vgg":
        widths = (spec.channels, *spec.widths)
        digits = [
            # A picture that a first convolution makes smaller would need a kernel of 7x7.
            _vgg(blocks, pair, exact=exact and (number > 1 or spec.stride == 1))
            for (number, blocks), pair in zip(stages.items(), pairwise(widths), strict=True)
        ]
    else:
        digits = [
            "".join(_block(spec, number, index, found, pair, exact=exact) for index, found in enumerate(blocks))
            for (number, blocks), pair in zip(stages.items(), pairwise(widths), strict=True)
        ]
    return "" if tuple(digits) == spec.full_depth else "-".join(digits)


def _block(spec: NetworkSpec, stage: int, index: int, kept: list[bool], widths: tuple[int, int], *, exact: bool) -> str:
    first, second = kept
    inner, outer = (first, second) if spec.kind == "basic" else (second, first)
    if inner:
        return "2"
    c_in, c_out = widths if index == 0 else (widths[1], widths[1])
    stride = 2 if stage > 1 and index == 0 else 1
    if not outer and stride == 1 and c_in == c_out:
        return "0"
    return "3" if exact and merged_kernel(3, stride) ** 2 * c_in <= 9 * (c_in + c_out) else "1"


def _vgg(stage: list[list[bool]], widths: tuple[int, int], *, exact: bool) -> str:
    kept = [found[0] for found in stage]
    present = kept if any(kept) else [*kept[:-1], True]
    digits = ""
    for index, here in enumerate(present):
        c_in = widths[0] if index == 1 else widths[1]
        pair = index > 0 and not present[index - 1] and (index == 1 or present[index - 2])
        pays = 25 * c_in <= 9 * (c_in + widths[1])
        digits += "0" if not here else "3" if exact and pair and pays else "1"
    return digits
