"""The cost model against measurements of networks it was not fitted on, as committed.

Fails when a change of the model or of a protocol makes its predictions worse than the goals. After a change of the
runtime that makes it faster or slower, run benchmarks/calibrate.py fit --keep and benchmarks/calibrate.py validate.
"""

from pathlib import Path
from typing import Any

import pytest
from measuring.fit import Fitted
from measuring.samples import merged, predicted_counts
from measuring.validation import Validation, public_of

import pi_system
from pi_system.cost import default_calibration
from pi_system.cost.predict import predict
from pi_system.errors import InputError, InvariantError

SHIPPED = Path(pi_system.__file__).parent / "cost" / "default_calibration.json"
RESULT = Path(pi_system.__file__).parents[1] / "benchmarks" / "results" / "cost_model" / "validation.json"


@pytest.fixture(scope="module")
def validation() -> Any:
    return Validation.read(RESULT).again(default_calibration())


def test_no_network_was_fitted_on(validation: Any) -> None:
    fitted = {sample.network for sample in Fitted.model_validate_json(SHIPPED.read_text()).samples}
    assert fitted
    assert not fitted & set(validation.networks)


def test_bytes_rounds_and_storage_are_exact(validation: Any) -> None:
    """Offline: of a session's first preparation; those after it share what is sent once."""
    for sample in validation.samples:
        public = public_of(validation.networks[sample.network])
        found = predict(public, sample.backend, sample.link, default_calibration())
        assert predicted_counts(found) == sample.counts(), sample


def test_half_of_the_online_predictions_are_within_ten_percent(validation: Any) -> None:
    assert validation.median_error < 0.10


def test_every_online_prediction_is_within_a_quarter(validation: Any) -> None:
    assert [point for point in validation.points if abs(point.error) > 0.25] == []


def test_links_and_backends_are_covered(validation: Any) -> None:
    assert {point.link for point in validation.points} == {"loopback", "lan", "wan"}
    assert len({point.backend for point in validation.points}) >= 3
    assert len(validation.points) >= 12


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match=r"bad\.json: expected the JSON of a Validation"):
        Validation.read(tmp_path / "bad.json")


def test_visits_are_one_sample(validation: Any) -> None:
    one = validation.samples[0]
    found = merged([one, one.model_copy(update={"online_ms": (1.0, 2.0), "offline_ms": (3.0,)})])
    assert found.online_ms == (*one.online_ms, 1.0, 2.0)
    assert found.offline_ms == (*one.offline_ms, 3.0)
    with pytest.raises(InvariantError, match="expected the counts"):
        merged([one, one.model_copy(update={"online_rounds": 1})])
