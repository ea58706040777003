"""Names of what a network returns."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from pi_system.export.outputs import one_choice, output_names

Pair = namedtuple("Pair", ["first", "second"])


@dataclass
class Output:
    """As libraries of networks return it."""

    logits: Any
    loss: Any = None


class ModelOutput(OrderedDict[str, Any]):
    """A mapping that torch does not know."""


RETURNED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "logits": (torch.ones(2, 3), ("0", "1", "2")),
    "one logit": (torch.ones(2, 1), ("value",)),
    "squeezed": (torch.ones(2), ("value",)),
    "a map": (torch.ones(2, 2, 1, 2), ("0,0,0", "0,0,1", "1,0,0", "1,0,1")),
    "a map of one": (torch.ones(2, 1, 1, 1), ("value",)),
    "one of a tuple": ((torch.ones(2, 2),), ("0", "1")),
    "two": ([torch.ones(2, 2), torch.ones(2)], ("0.0", "0.1", "1")),
    "by name": ({"age": torch.ones(2, 1), "sex": (torch.ones(2, 2), None)}, ("age", "sex.0.0", "sex.0.1")),
    "by attribute": (Pair(torch.ones(2, 1), torch.ones(2)), ("first", "second")),
    "a dataclass": (Output(torch.ones(2, 2)), ("0", "1")),
    "two of a dataclass": ([Output(torch.ones(2, 1), {"a": torch.ones(2)})], ("0.logits", "0.loss.a")),
    "a mapping": (ModelOutput(logits=torch.ones(2, 2)), ("0", "1")),
    "a class": (Output, ()),
    "no tensor": ("a cat", ()),
    "nothing": (None, ()),
    "a number": (3.0, ()),
}


@pytest.mark.parametrize("what", RETURNED)
def test_every_number_has_a_name(what: str) -> None:
    returned, names = RETURNED[what]
    assert output_names(returned) == names


CHOICES: dict[str, tuple[Any, bool]] = {
    "logits": (torch.ones(2, 3), True),
    "of one place": (torch.ones(2, 3, 1, 1), True),
    "a number": (torch.ones(2), True),
    "a map": (torch.ones(2, 1, 3, 3), False),
    "two": ((torch.ones(2, 3), torch.ones(2, 2)), False),
}


@pytest.mark.parametrize("what", CHOICES)
def test_whether_a_label_says_all(what: str) -> None:
    returned, expected = CHOICES[what]
    assert one_choice(returned) is expected
