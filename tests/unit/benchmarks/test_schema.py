"""What benchmarks write: validated when written, refused when read and something else."""

import json
from pathlib import Path
from typing import Any

import pytest
from measured import ENVIRONMENT, question_report
from measuring.question import Answer, QuestionReport
from measuring.schema import LatencyReport, LatencyResult, NetworkCounts, Timing, latency_ratios
from measuring.statistics import Interval
from pydantic import ValidationError

from pi_system.errors import InputError

COUNTS = NetworkCounts(network="net", relus=1000, relu_layers=3, macs=5000, parameters=70)
ANSWERS = (
    Answer.of("fss/lan/us_per_relu", Interval(2.0, 1.5, 2.5), "us/ReLU"),
    Answer.of("gmw/lan/over_fss", Interval(3.0, 2.0, 4.0), "x", ratio=True, note="online"),
    Answer.exact("fss/lan/bytes_per_relu", 8.0, "bytes/ReLU"),
)


def result(backend: str, link: str, online_ms: float) -> LatencyResult:
    fields: dict[str, Any] = dict.fromkeys(LatencyResult.model_fields, 1)
    both = {"server": 900, "client": 800}
    return LatencyResult.model_validate(
        fields
        | {"network": "net", "backend": backend, "link": link, "reveal": "logits", "offline_ms_samples": (2.0,)}
        | {"online_ms": Timing.of([online_ms]), "online_bytes": {"client_to_server": 700, "server_to_client": 300}}
        | {"storage_bytes": both, "peak_memory_bytes": both, "within_ulp_bound": None}
    )


def report(*results: LatencyResult) -> LatencyReport:
    return LatencyReport.of((COUNTS,), results, repeat=1, warmup=1, environment=ENVIRONMENT)


def test_timing_has_the_inclusive_quartiles() -> None:
    timing = Timing.of([5.0, 1.0, 3.0, 2.0, 4.0])
    assert (timing.q1, timing.median, timing.q3) == (2.0, 3.0, 4.0)
    assert timing.samples == (5.0, 1.0, 3.0, 2.0, 4.0)
    assert Timing.of([7.0]) == Timing(median=7.0, q1=7.0, q3=7.0, samples=(7.0,))


def test_ratios_compare_within_a_link_only() -> None:
    ratios = latency_ratios((result("crypten", "lan", 80.0), result("fss", "lan", 4.0), result("fss", "wan", 9.0)))
    assert [(r.link, r.backend) for r in ratios] == [("lan", "crypten"), ("lan", "fss")]
    assert ratios[1].times_faster == 20.0
    assert ratios[1].online_ratio == 0.05


def test_json_has_the_agreed_names() -> None:
    data = json.loads(report(result("fss", "lan", 4.0)).model_dump_json(by_alias=True))
    assert data["schema"] == 1
    assert {"network", "relus", "relu_layers", "macs", "results", "environment"} <= set(data)
    agreed = {"backend", "link", "online_ms", "online_rounds", "online_bytes", "us_per_relu", "bytes_per_relu"}
    agreed |= {"offline_ms", "offline_bytes", "max_abs_error", "plaintext_ms"}
    (found,) = data["results"]
    assert agreed <= set(found)
    assert {"median", "samples"} <= set(found["online_ms"])


@pytest.mark.parametrize("written", [report(result("fss", "lan", 4.0)), question_report(answers=ANSWERS)])
def test_what_is_written_is_read_back(written: LatencyReport | QuestionReport, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    written.write(path)
    assert type(written).read(path) == written
    assert json.loads(path.read_text())["schema"] == 1


@pytest.mark.parametrize("change", [{"schema": 2}, {"unknown": 1}, {"results": [{}]}, {"networks": []}])
def test_another_schema_is_refused(change: dict[str, object]) -> None:
    data = json.loads(report(result("fss", "lan", 4.0)).model_dump_json(by_alias=True))
    with pytest.raises(ValidationError):
        LatencyReport.model_validate(data | change)


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 2}', None])
def test_other_files_are_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "q01.json").write_text(text)
    with pytest.raises(InputError, match=r"q01\.json: expected the JSON of a QuestionReport"):
        QuestionReport.read(tmp_path / "q01.json")


def test_an_exact_answer_is_its_own_interval() -> None:
    answer = question_report(answers=ANSWERS).answer("fss/lan/bytes_per_relu")
    assert answer is not None
    assert answer.low == answer.value == answer.high
    assert question_report().answer("no such name") is None


@pytest.mark.parametrize(("low", "high"), [(3.0, 4.0), (1.0, 1.5), (float("nan"), 3.0)])
def test_a_value_outside_its_interval_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValidationError):
        Answer(name="a", value=2.0, unit="x", low=low, high=high)


def test_a_name_may_come_once() -> None:
    with pytest.raises(ValidationError, match="found twice: fss/lan/us_per_relu"):
        question_report(answers=(ANSWERS[0], ANSWERS[0]))
