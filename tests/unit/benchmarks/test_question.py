import json
from pathlib import Path

import pytest
from measuring.environment import environment
from measuring.question import Answer, QuestionReport
from measuring.statistics import Interval
from pydantic import ValidationError

from pi_system.errors import InputError

ENVIRONMENT = environment(pinned_cores={"server": 0, "client": 1}, threads=1, load_before=(0.0, 0.0, 0.0))
ANSWERS = (
    Answer.of("fss/lan/us_per_relu", Interval(2.0, 1.5, 2.5), "us/ReLU"),
    Answer.of("gmw/lan/over_fss", Interval(3.0, 2.0, 4.0), "x", ratio=True, note="online"),
    Answer.exact("fss/lan/bytes_per_relu", 8.0, "bytes/ReLU"),
)


def report(answers: tuple[Answer, ...] = ANSWERS) -> QuestionReport:
    return QuestionReport(
        question="q01",
        title="What does a ReLU cost?",
        mode="quick",
        command="python benchmarks/q01.py run",
        environment=ENVIRONMENT,
        samples=({"network": "n", "backend": "fss", "link": "lan", "online_ms": [1.5, 2.25], "rounds": 3},),
        answers=answers,
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "q01.json"
    report().write(path)
    assert QuestionReport.read(path) == report()
    assert json.loads(path.read_text())["schema"] == 1


def test_an_exact_answer_is_its_own_interval() -> None:
    answer = report().answer("fss/lan/bytes_per_relu")
    assert answer is not None
    assert answer.low == answer.value == answer.high
    assert report().answer("no such name") is None


@pytest.mark.parametrize(("low", "high"), [(3.0, 4.0), (1.0, 1.5), (float("nan"), 3.0)])
def test_a_value_outside_its_interval_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValidationError):
        Answer(name="a", value=2.0, unit="x", low=low, high=high)


def test_a_name_may_come_once() -> None:
    with pytest.raises(ValidationError, match="found twice: fss/lan/us_per_relu"):
        report((ANSWERS[0], ANSWERS[0]))


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 2}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "q01.json").write_text(text)
    with pytest.raises(InputError, match="expected the JSON of a QuestionReport"):
        QuestionReport.read(tmp_path / "q01.json")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        QuestionReport.read(tmp_path / "q01.json")
