"""What README says of the accuracy study is what its JSON says."""

import json
import re
from pathlib import Path

import pytest
from measuring.study_tables import load_study, needed

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "benchmarks" / "results" / "study"
SENTENCE = r"At equal accuracy \(([\d.]+) %.*?needs ([\d.]+) and ([\d.]+) of the time of pixel masks, (.*?\d\.\d+)\."
CURVES = {"`shallow`": "shallow", "masks of channels with budgets by layer": "fast-by-layer-channel"}


def test_equal_accuracy() -> None:
    study = load_study([FOLDER / "study.json", FOLDER / "claims.json"])
    accuracy, found = needed(study, json.loads((FOLDER / "costs.json").read_text()))
    ratios = {one.label: tuple(one.ratios["lan", backend].value for backend in ("fss", "gmw")) for one in found}
    (target, fss, gmw, others), *more = re.findall(SENTENCE, " ".join((ROOT / "README.md").read_text().split()))
    assert not more
    assert float(target) == pytest.approx(100 * accuracy, abs=0.05)
    assert (float(fss), float(gmw)) == pytest.approx(ratios["deepreshape"], abs=0.005)
    pairs = re.findall(r"([^\s,][^,]*?) (\d\.\d+) and (\d\.\d+)", others)
    said = {name: (float(a), float(b)) for name, a, b in pairs}
    assert said == {name: pytest.approx(ratios[label], abs=0.006) for name, label in CURVES.items()}
