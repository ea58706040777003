"""The plan of a study: what runs and what is claimed of it, in a file committed before the first run.

    [data]            which pictures, and how they are split in three
    [recipes.NAME]    of trainings, fields of a TrainConfig
    [networks]        the networks with all ReLUs, and the core-seconds that an epoch of each is expected to take
    [tuning]          trials, as many for every curve that is tuned, judged on pictures that no other run sees
    [[blocks]]        parts of the study, in the order in which they run
    [[curves]]        a method on a network, at some budgets, with some seeds; or a measure of a network
    [[claims]]        contrasts of curves, with the direction that a paper claims

Claims that are primary in the file when the first run begins are corrected for their number; all others are exploratory
(``study_report``).
"""

import hashlib
import tomllib
from pathlib import Path
from typing import Any, Final, Literal, Self

from measuring import BENCHMARKS
from measuring.study_analysis import Claim
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pi_system.errors import ConfigError, InputError
from pi_system.reduce.registry import make_method
from pi_system.train.config import TrainConfig
from pi_system.train.data import DataConfig
from pi_system.train.spec import NetworkSpec

PLAN: Final = BENCHMARKS / "study" / "plan.toml"
Measure = Literal["", "criticality", "sensitivity"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Block(_Strict):
    """A part of the study.

    ``reference`` is the network whose ReLUs budgets are shares of; ``seeds`` those of curves that name none;
    ``needs`` is what the machine must have: nothing, or ``cuda``.
    """

    name: str
    text: str
    reference: str
    seeds: tuple[int, ...] = Field(min_length=1)
    needs: Literal["", "cuda"] = ""


class Trial(_Strict):
    """Changes of a curve's recipe and options."""

    recipe: dict[str, Any] = {}
    options: dict[str, str] = {}


class Curve(_Strict):
    """A method on a network; or a ``measure`` of the network as it is, without a method, options and budgets.

    ``budgets`` are ReLUs; where the network has no more than that it is the network with all of them, trained on as the
    others are. ``trials``: what its tuning tries; a curve that has none is as it stands here.
    """

    label: str
    block: str
    network: str
    recipe: str
    method: str = ""
    measure: Measure = ""
    options: dict[str, str] = {}
    budgets: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    trials: tuple[Trial, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.method) == bool(self.measure) or bool(self.method) != bool(self.budgets):
            raise ValueError(f"{self.label}: expected a method with budgets, or a measure without")
        return self


class PlannedClaim(Claim):
    """A claim of a block; ``budgets`` are ReLUs.

    ``primary``: one of the few that the study is for; with every further one, Holm asks more of all.
    """

    id: str
    block: str
    budgets: tuple[int, ...] = ()


class Tuning(_Strict):
    """How many ``trials`` every tuned curve of a block has, at one budget, with a seed and a baseline of their own."""

    block: str
    seed: int
    budget: int
    trials: int = Field(ge=2)


class Plan(_Strict):
    """All of it; ``digest`` is the SHA-256 of the file, in hexadecimal."""

    schema_: Literal[1] = Field(alias="schema")
    digest: str
    data: dict[str, Any]
    baseline: str
    recipes: dict[str, dict[str, Any]]
    networks: dict[str, float]
    tuning: Tuning | None = None
    blocks: tuple[Block, ...]
    curves: tuple[Curve, ...]
    claims: tuple[PlannedClaim, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        labels, blocks = {curve.label: curve for curve in self.curves}, [block.name for block in self.blocks]
        _unique("label", [curve.label for curve in self.curves])
        _unique("block", blocks)
        _unique("claim", [claim.id for claim in self.claims])
        for name in self.recipes:
            self.recipe(name)
        self.data_config(None)
        for curve in self.curves:
            _known(curve.label, curve.block, blocks)
            _known(curve.label, curve.recipe, self.recipes)
            self._check_curve(curve)
        for network in (*(c.network for c in self.curves), *(b.reference for b in self.blocks)):
            _known("network", network, self.networks)
            NetworkSpec.parse(network)
        _known("baseline", self.baseline, self.recipes)
        if self.tuning:
            _known("tuning", self.tuning.block, blocks)
        for claim in self.claims:
            self._check(claim, labels)
        return self

    def _check_curve(self, curve: Curve) -> None:
        wanted = self.tuning.trials if self.tuning and curve.trials else 0
        if len(curve.trials) != wanted or (wanted and self.tuning and curve.block != self.tuning.block):
            raise ValueError(
                f"{curve.label}: expected as many trials as tuning says, in its block; found {len(curve.trials)}"
            )
        for trial in (Trial(), *curve.trials):
            self.recipe(curve.recipe, **trial.recipe)
            if curve.method:
                make_method(curve.method, {**curve.options, **trial.options})

    def _check(self, claim: PlannedClaim, labels: dict[str, Curve]) -> None:
        for label in (claim.better, *((claim.worse,) if claim.kind != "measure" else ())):
            _known(claim.id, label, labels)
            if (labels[label].measure != "") != (claim.kind == "measure"):
                raise ValueError(f"claim {claim.id}: expected kind measure for measures only; found {claim.kind}")
            for budget in claim.budgets:
                _known(f"claim {claim.id}", budget, labels[label].budgets)

    def block(self, name: str) -> Block:
        """By name."""
        return next(block for block in self.blocks if block.name == name)

    def recipe(self, name: str, **changes: Any) -> TrainConfig:
        """A recipe with changes. Raises ConfigError: a field is unknown or outside its limits."""
        try:
            return TrainConfig(**{**self.recipes[name], **changes})
        except TypeError as error:
            raise ConfigError(f"recipe {name}: {str(error).removeprefix('TrainConfig.__init__() ')}") from error

    def data_config(self, path: str | None, *, judged_on: Literal["test", "tuning"] = "test") -> DataConfig:
        """The data, in the folder ``path``. Raises ConfigError: a field is unknown or outside its limits."""
        place = {"path": None if self.data.get("name") == "digits" else path or "?"}
        try:
            return DataConfig(**{**self.data, **place, "judged_on": judged_on})
        except TypeError as error:
            raise ConfigError(f"data: {str(error).removeprefix('DataConfig.__init__() ')}") from error


def _unique(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what}: expected each once; found {', '.join(twice)} again")


def _known(where: str, name: Any, names: Any) -> None:
    if name not in names:
        raise ValueError(f"{where}: expected one of {', '.join(map(str, names))}; found {name!r}")


def parse_plan(content: bytes, name: str) -> Plan:
    """A plan from the bytes of its file. Raises ConfigError, in one line: it is not one."""
    try:
        table = tomllib.loads(content.decode())
        return Plan(**{**table, "digest": hashlib.sha256(content).hexdigest()})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{name}: {place + ': ' if place else ''}{first['msg']}") from error
    except (ValueError, ConfigError) as error:
        raise ConfigError(f"{name}: {error}") from error


def load_plan(path: Path = PLAN) -> Plan:
    """Read a plan. Raises InputError: there is none; ConfigError: it is not one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: expected the plan of a study; {error.strerror}") from error
    return parse_plan(content, path.name)
