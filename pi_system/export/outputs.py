"""What a network returns: a name for each number, and the one logit of a binary network as two."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_flatten_with_path

from pi_system.errors import UnsupportedLayerError
from pi_system.export.draft import Draft

ONE_OUTPUT: Final = "value"
"""Name of the only number of a network that nobody named."""


def output_names(result: object) -> tuple[str, ...]:
    """A name for each number that a network returns for an input, in the order of the exported logits.

    Numbers count from zero; in a map (N, C, H, W) they are places, ``c,y,x``. Where several tensors are returned, the
    name or number of each comes first, ``colour.2``, and says all of a tensor with one number.

    Args:
        result: of a batch, of any structure.

    Returns:
        As many names as logits; none where nothing in the result is a tensor.
    """
    tensors = named_tensors(result)
    names: list[str] = []
    for path, tensor in tensors:
        stem = ".".join(path) if len(tensors) > 1 else ""
        sizes = tensor.shape[1:]
        places = [""] if sizes.numel() == 1 else [",".join(map(str, place)) for place in np.ndindex(*sizes)]
        names += [".".join(part for part in (stem, place) if part) for place in places]
    return (ONE_OUTPUT,) if len(names) == 1 else tuple(names)


def named_tensors(result: object) -> list[tuple[tuple[str, ...], Tensor]]:
    """The tensors in a result of any structure, dataclasses and mappings of any kind among it, with the way to each."""
    return list(_walk((), result))


def one_choice(result: object) -> bool:
    """Whether a label says all of a result: it is one tensor, no map, or one number."""
    tensors = [tensor for _, tensor in named_tensors(result)]
    return len(tensors) == 1 and sum(size > 1 for size in tensors[0].shape[1:]) <= 1


def _walk(path: tuple[str, ...], result: object) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    for steps, leaf in _leaves(result):
        here = (*path, *map(_key, steps))
        if isinstance(leaf, Tensor):
            yield here, leaf
        elif dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            fields = ((field.name, getattr(leaf, field.name)) for field in dataclasses.fields(leaf))
            for name, value in fields:
                yield from _walk((*here, name), value)
        elif isinstance(leaf, Mapping):
            yield from _walk(here, dict(leaf))


def _leaves(result: object) -> list[tuple[Any, Any]]:
    try:
        return tree_flatten_with_path(result)[0]
    except ValueError:  # a structure that says no keys: numbers
        return [((index,), leaf) for index, leaf in enumerate(tree_flatten(result)[0])]


def _key(entry: Any) -> str:
    """Of a step into a structure: the key of a dictionary, the number in a tuple, the name of an attribute."""
    found = next((getattr(entry, name) for name in ("key", "idx", "name") if hasattr(entry, name)), entry)
    return str(found)


def two_logits(draft: Draft) -> None:
    """The one logit z of a binary network becomes two, 0 and z: their softmax is z's sigmoid, their label its sign.

    Raises:
        UnsupportedLayerError: the network ends with another function than a sigmoid.
    """
    final = draft.finals[0][1]
    if len(draft.finals) != 1 or draft.finals[0][0] != 1 or final not in ("", "sigmoid"):
        raise UnsupportedLayerError(f"binary network: expected one logit or its sigmoid, found {final or 'others'}")
    flat = draft.flatten("binary.flat", draft.output)
    draft.output = draft.linear("binary", flat, np.array([[0.0], [1.0]]))
    draft.finals = [(2, "softmax" if final else "")]


def two_outputs(output: Tensor, draft: Draft) -> Tensor:
    """What the module's own output (N, 1) is after ``two_logits``, (N, 2): 0 and z, or the two probabilities."""
    first = 1 - output if draft.finals[0][1] else torch.zeros_like(output)
    return torch.cat([first, output], 1)
