"""Prices of one machine, with what they were fitted to; written by benchmarks/calibrate.py, read by everything here."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pi_system.cost.work import Prices
from pi_system.errors import ConfigError

__all__ = ["Calibration", "Residual", "Sample", "default_calibration", "load_calibration"]

_DEFAULT = "default_calibration.json"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Sample(_Strict):
    """One network, backend and link, measured; batch 1.

    Attributes:
        network: its name, see measure/random_artifacts.py.
        backend: that ran.
        link: name or RATE_MBIT,RTT_MS.
        online_ms: one a repetition.
        online_rounds: counted at the client.
        client_to_server_bytes: online payload.
        server_to_client_bytes: online payload.
        offline_ms: one a repetition.
        offline_bytes: payload of one preparation.
        stored_bytes_server: on disk.
        stored_bytes_client: on disk.
    """

    network: str
    backend: str
    link: str
    online_ms: tuple[float, ...] = Field(min_length=1)
    online_rounds: int
    client_to_server_bytes: int
    server_to_client_bytes: int
    offline_ms: tuple[float, ...] = Field(min_length=1)
    offline_bytes: int
    stored_bytes_server: int
    stored_bytes_client: int


class Residual(_Strict):
    """How far the fit is from the median of one sample: predicted / measured - 1."""

    network: str
    backend: str
    link: str
    online: float
    offline: float


class Calibration(_Strict):
    """Prices and where they come from.

    Attributes:
        schema_version: in JSON ``schema``.
        machine: in words: what the prices are of.
        environment: as measure/environment.py describes it.
        backends: that were measured; others have no prices.
        prices: ns a unit; see work.py and the modules that count the units.
        samples: measured.
        residuals: of the fit, one a sample.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    machine: str
    environment: dict[str, Any]
    backends: tuple[str, ...]
    prices: dict[str, float]
    samples: tuple[Sample, ...]
    residuals: tuple[Residual, ...]

    def as_prices(self) -> Prices:
        """For the model."""
        return Prices.of(self.prices)

    def check_has(self, backend: str) -> None:
        """Raise ConfigError if ``backend`` was not measured."""
        if backend not in self.backends:
            raise ConfigError(f"calibration: expected one of {', '.join(self.backends)}, found no prices of {backend}")

    def to_json(self) -> str:
        """The JSON text, indented."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def load_calibration(path: Path) -> Calibration:
    """Read a calibration. Raises ConfigError."""
    try:
        return Calibration.model_validate_json(path.read_text())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"calibration {path.name}: expected a file of benchmarks/calibrate.py; {error}") from None


@cache
def default_calibration() -> Calibration:
    """The one that ships; its ``machine`` says whose prices it holds."""
    return Calibration.model_validate_json(files("pi_system.cost").joinpath(_DEFAULT).read_text())
