"""What a network returns: a name for each number, and the one logit of a binary network as two."""

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
    tensors = [(path, leaf) for path, leaf in _leaves(result) if isinstance(leaf, Tensor)]
    names: list[str] = []
    for path, tensor in tensors:
        stem = ".".join(_key(entry) for entry in path) if len(tensors) > 1 else ""
        sizes = tensor.shape[1:]
        places = [""] if sizes.numel() == 1 else [",".join(map(str, place)) for place in np.ndindex(*sizes)]
        names += [".".join(part for part in (stem, place) if part) for place in places]
    return (ONE_OUTPUT,) if len(names) == 1 else tuple(names)


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
