"""Predictions beside measurements of networks that the calibration has not seen; benchmarks/calibrate.py validate."""

from collections.abc import Sequence
from statistics import median
from typing import Any, Literal

import numpy as np
from measuring.samples import CostSample, predicted_counts
from measuring.schema import Strict
from pydantic import Field

from pi_system.artifact.model import PublicArtifact, PublicModel
from pi_system.cost.calibration import Calibration
from pi_system.cost.predict import predict


class Point(Strict):
    """One sample: median ms of both phases and what was predicted; ``exact``: all that is counted is equal."""

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

    def errors(self) -> dict[str, float]:
        """Both, by name."""
        return {"error": self.error, "offline_error": self.offline_error}


class Validation(Strict):
    """Samples with the public models they are of, by name, so that predictions can be made again; errors are absolute.

    Models are without the ReLU map: cost depends on how many positions are active.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    environment: dict[str, Any]
    networks: dict[str, PublicModel]
    samples: tuple[CostSample, ...] = Field(min_length=1)
    points: tuple[Point, ...]
    median_error: float
    worst_error: float

    @classmethod
    def of(
        cls,
        samples: Sequence[CostSample],
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


def public_of(model: PublicModel) -> PublicArtifact:
    """The model with a ReLU map of as many active positions as it says, the first ones: enough for its cost."""
    masks = {}
    for node in model.graph.relus():
        if node.masked:
            mask = np.zeros(node.shape, np.bool_)
            mask.reshape(-1)[: node.active] = True
            masks[node.name] = mask
    return PublicArtifact(public=model, masks=masks)


def _point(sample: CostSample, public: PublicArtifact, calibration: Calibration) -> Point:
    found = predict(public, sample.backend, sample.link, calibration)
    return Point(
        network=sample.network,
        backend=sample.backend,
        link=sample.link,
        measured_ms=median(sample.online_ms),
        predicted_ms=found.online_ms,
        offline_measured_ms=median(sample.offline_ms),
        offline_predicted_ms=found.offline_ms,
        exact=predicted_counts(found) == sample.counts(),
    )
