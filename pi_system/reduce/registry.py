"""Reduction methods by name: made from options in text, and described by what their classes say."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pi_system.errors import BudgetError, ConfigError
from pi_system.reduce.controls import Narrower, RandomMask, Whole
from pi_system.reduce.cryptonas import CryptoNas
from pi_system.reduce.deepreduce import DeepReduce
from pi_system.reduce.deepreshape import DeepReShape
from pi_system.reduce.delphi import Delphi
from pi_system.reduce.gradual import Gradual
from pi_system.reduce.l1 import L1Filters
from pi_system.reduce.lfpc import Lfpc
from pi_system.reduce.method import ReductionMethod
from pi_system.reduce.options import Option, options_of, read_options
from pi_system.reduce.safenet import SafeNet
from pi_system.reduce.senet import SeNet
from pi_system.reduce.shallow import Shallow
from pi_system.reduce.snip import Snip
from pi_system.reduce.snl import Snl
from pi_system.reduce.sphynx import Sphynx
from pi_system.reduce.unstructured import Unstructured

METHODS: dict[str, type[Any]] = {
    "deepreshape": DeepReShape,
    "deepreduce": DeepReduce,
    "gradual": Gradual,
    "snl": Snl,
    "senet": SeNet,
    "shallow": Shallow,
    "delphi": Delphi,
    "safenet": SafeNet,
    "l1": L1Filters,
    "lfpc": Lfpc,
    "cryptonas": CryptoNas,
    "sphynx": Sphynx,
    "snip": Snip,
    "random": RandomMask,
    "narrower": Narrower,
    "unstructured": Unstructured,
    "whole": Whole,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCard:
    """A method as the command line lists it; ``summary`` is the first line of its class's docstring."""

    name: str
    summary: str
    reduces: str
    source: str
    differs: str
    options: tuple[Option, ...]


def make_method(name: str, options: Mapping[str, str]) -> ReductionMethod:
    """Build a method.

    Args:
        name: one of ``METHODS``.
        options: fields of the method by name; each value is read as the type of the field's default.

    Raises:
        ConfigError: unknown method or option, a value that cannot be read, or an option without effect.
    """
    if name not in METHODS:
        raise ConfigError(f"method: expected one of {', '.join(METHODS)}; found {name!r}")
    try:
        method: ReductionMethod = METHODS[name](**read_options(METHODS[name], options))
    except ConfigError as error:
        raise ConfigError(f"method {name}, {error}{_whose(name, options)}") from error
    return method


def _whose(name: str, options: Mapping[str, str]) -> str:
    """The methods whose options were given to the method ``name``, which does not know them."""
    unknown = [option for option in options if option not in options_of(METHODS[name])]
    owners = {option: [other for other, kind in METHODS.items() if option in options_of(kind)] for option in unknown}
    told = [f"{option} is an option of {', '.join(names)}" for option, names in owners.items() if names]
    return "; " + "; ".join(told) if told else ""


def describe(name: str) -> MethodCard:
    """What the method ``name`` says about itself."""
    kind = METHODS[name]
    return MethodCard(
        name=name,
        summary=(inspect.getdoc(kind) or "").split("\n", 1)[0],
        reduces=kind.REDUCES,
        source=kind.SOURCE,
        differs=getattr(kind, "DIFFERS", ""),
        options=tuple(options_of(kind).values()),
    )


def in_reach(error: BudgetError, present: int) -> str:
    """The least budget that the method of ``error`` reaches on a network of so many ReLUs, as options to try."""
    if not 0 < error.least < present:
        return ""
    share = math.ceil(1e4 * error.least / present) / 1e4
    return f"try --budget {error.least} or --fraction {share:g}; "


def reaching(budget: int, name: str, options: Mapping[str, str]) -> str:
    """What reaches a budget that the method ``name`` with these options does not: an option, methods by pixel."""
    if budget < 1:
        return "set a budget of at least 1: without any ReLU a network is linear"
    if options.get("granularity", "pixel") != "pixel":
        return "--set granularity=pixel keeps any number"
    option, what, *others = getattr(METHODS.get(name), "SMALLER", ("", ""))
    own = f"--set {option} {what}; " if what and not options.keys() & {option.partition("=")[0], *others} else ""
    by_pixel = [other for other, kind in METHODS.items() if other != name and _by_pixel(kind)]
    return f"{own}methods that keep any number of ReLUs from 1: {', '.join(by_pixel)}"


def _by_pixel(kind: type[Any]) -> bool:
    granularity = options_of(kind).get("granularity")
    return granularity is not None and granularity.default == "pixel"
