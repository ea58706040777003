"""Predictions beside measurements of networks that the calibration has not seen; benchmarks/validate_cost_model.py."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pi_system.artifact.model import PublicArtifact, PublicModel
from pi_system.cost.calibration import Calibration, Sample
from pi_system.cost.predict import Prediction, predict
from pi_system.errors import ConfigError

__all__ = ["Point", "Validation", "exact_fields", "load_validation", "public_of"]


class Point(BaseModel):
    """One sample, what it measured and what was predicted.

    Attributes:
        network: name.
        backend: name.
        link: name.
        measured_ms: median online.
        predicted_ms: online.
        offline_measured_ms: median of one preparation.
        offline_predicted_ms: of one preparation.
        exact: bytes, rounds and storage are equal to those counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    network: str
    backend: str
    link: str
    measured_ms: float
    predicted_ms: float
    offline_measured_ms: float
    offline_predicted_ms: float
    exact: bool

    @property
    def error(self) -> float:
        """Of the online prediction: predicted / measured - 1."""
        return self.predicted_ms / self.measured_ms - 1

    @property
    def offline_error(self) -> float:
        """Of the offline prediction."""
        return self.offline_predicted_ms / self.offline_measured_ms - 1


class Validation(BaseModel):
    """Samples with the public models they are of, so that predictions can be made again.

    Attributes:
        schema_version: in JSON ``schema``.
        environment: as measure/environment.py describes it.
        networks: public models by name, without the ReLU map: cost depends on how many positions are active.
        samples: measured.
        points: as predicted when this was written.
        median_error: of the online predictions, absolute.
        worst_error: of the online predictions, absolute.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    environment: dict[str, Any]
    networks: dict[str, PublicModel]
    samples: tuple[Sample, ...] = Field(min_length=1)
    points: tuple[Point, ...]
    median_error: float
    worst_error: float

    @classmethod
    def of(
        cls,
        samples: Sequence[Sample],
        networks: dict[str, PublicModel],
        calibration: Calibration,
        environment: dict[str, Any],
    ) -> "Validation":
        """Predict every sample with ``calibration``."""
        artifacts = {name: public_of(model) for name, model in networks.items()}
        points = tuple(_point(sample, artifacts[sample.network], calibration) for sample in samples)
        errors = [abs(point.error) for point in points]
        return cls(
            environment=environment,
            networks=networks,
            samples=tuple(samples),
            points=points,
            median_error=median(errors),
            worst_error=max(errors),
        )

    def again(self, calibration: Calibration) -> "Validation":
        """The same samples, predicted now."""
        return Validation.of(self.samples, self.networks, calibration, self.environment)


def load_validation(path: Path) -> Validation:
    """Read a validation. Raises ConfigError."""
    try:
        return Validation.model_validate_json(path.read_text())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"validation {path.name}: expected one of validate_cost_model.py; {error}") from None


def public_of(model: PublicModel) -> PublicArtifact:
    """The model with a ReLU map of as many active positions as it says, the first ones: enough for its cost."""
    masks = {}
    for node in model.graph.relus():
        if node.masked:
            mask = np.zeros(node.shape, np.bool_)
            mask.reshape(-1)[: node.active] = True
            masks[node.name] = mask
    return PublicArtifact(public=model, masks=masks)


def exact_fields(found: Prediction | Sample) -> tuple[int, ...]:
    """What must be equal, predicted and counted."""
    return (
        found.online_rounds,
        found.client_to_server_bytes,
        found.server_to_client_bytes,
        found.offline_bytes,
        found.stored_bytes_server,
        found.stored_bytes_client,
    )


def _point(sample: Sample, public: PublicArtifact, calibration: Calibration) -> Point:
    found = predict(public, sample.backend, sample.link, calibration)
    return Point(
        network=sample.network,
        backend=sample.backend,
        link=sample.link,
        measured_ms=median(sample.online_ms),
        predicted_ms=found.online_ms,
        offline_measured_ms=median(sample.offline_ms),
        offline_predicted_ms=found.offline_ms,
        exact=exact_fields(found) == exact_fields(sample),
    )
