"""Prices of one machine; written by benchmarks/calibrate.py, read by everything here."""

import logging
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pi_system.cost.work import PRICED, UNITS, WOKEN, Prices, Work
from pi_system.errors import ConfigError

_DEFAULT = "default_calibration.json"
_MOST_NS: Final = 1e15
"""Eleven days a unit; more is no measurement, and sums of it are not finite."""
_LOG = logging.getLogger(__name__)


class UnpricedError(ConfigError):
    """Work occurs that a calibration has no price of."""


class Calibration(BaseModel):
    """Prices and where they come from; the file's samples and residuals are for who measures.

    Attributes:
        schema_version: in JSON ``schema``.
        machine: in words: what the prices are of.
        environment: what was measured on.
        backends: that were measured; others have no prices.
        prices: ns a unit; see work.py and the modules that count the units.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    machine: str
    environment: dict[str, Any]
    backends: tuple[str, ...]
    prices: dict[str, Annotated[float, Field(strict=True, ge=0, le=_MOST_NS)]]

    @field_validator("prices")
    @classmethod
    def _of_known_work(cls, prices: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(prices) - set(PRICED))
        if unknown:
            raise ValueError(f"expected kinds of work that this version has, found {unknown[0][:40]}")
        return prices

    @property
    def of(self) -> str:
        """The machine in words, and the day."""
        return ", ".join(filter(None, (self.machine, str(self.environment.get("date", ""))[:10])))

    def differs(self, kernels: Mapping[str, str]) -> dict[str, str]:
        """Those of a machine's ``kernels`` that use other instructions than where it was measured, with its own."""
        measured = self.environment.get("kernels")
        if not isinstance(measured, dict):
            return {}
        return {name: path for name, path in kernels.items() if measured.get(name, path) != path}

    def as_prices(self) -> Prices:
        """For the model."""
        return Prices.of(self.prices)

    def check_has(self, backend: str) -> None:
        """Raise UnpricedError if ``backend`` was not measured."""
        if backend not in self.backends:
            raise UnpricedError(
                f"calibration: expected one of {', '.join(self.backends)}, found no prices of {backend}"
            )

    def check_priced(self, done: Work) -> None:
        """Raise UnpricedError if some of the work ``done`` has no price: it would be free.

        Late wake-ups may be: a calibration over links without a delay has none.
        """
        for name, amount in zip(UNITS, done, strict=True):
            if amount and name in PRICED and name not in (*self.prices, WOKEN):
                raise UnpricedError(f"calibration: expected a price of {name}, found none")


def load_calibration(path: Path) -> Calibration:
    """Read a calibration. Raises ConfigError."""
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"calibration {path.name}: expected a file of benchmarks/calibrate.py; {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "file"
        raise ConfigError(
            f"calibration {path.name}: expected a file of benchmarks/calibrate.py; {place}: {first['msg']}"
        ) from None


@cache
def default_calibration() -> Calibration:
    """The one that ships; its ``machine`` says whose prices it holds."""
    return Calibration.model_validate_json(files("pi_system.cost").joinpath(_DEFAULT).read_text())


def calibration_or_default(path: Path | None) -> Calibration:
    """Read one, or take the one that ships, with a warning where ``path`` names none that this version can use."""
    if path is None:
        return default_calibration()
    try:
        return load_calibration(path)
    except ConfigError as error:
        _LOG.warning("%s; the prices that ship are taken", error)
        return default_calibration()
