"""Figures and verdicts from a study's JSON, on numbers written out by hand."""

import json
import math

import pytest

from pi_system.errors import InputError
from pi_system.reduce.study_report import claims_markdown, compare, read_study, results_markdown


def _run(label, fraction, seed, accuracy, relus=100, **more):
    return {
        "run": f"seed{seed}/{label}@{fraction}",
        "label": label,
        "fraction": fraction,
        "seed": seed,
        "network": "resnet18:m=16,classes=100",
        "relus": relus,
        "macs": 35_000_000,
        "test_accuracy": accuracy,
        **more,
    }


def _write(path, runs):
    path.write_text(json.dumps({"schema": 1, "runs": runs}))
    return path


RUNS = [
    _run("baseline", None, 0, 0.60, 400),
    _run("baseline", None, 1, 0.62, 400),
    _run("snl", 0.25, 1, 0.52),
    _run("snl", 0.25, 0, 0.50),
    _run("random", 0.25, 0, 0.30),
    _run("random", 0.25, 1, 0.32),
    _run("hrn-snl", 0.25, 0, 0.52),
    _run("hrn-snl", 0.25, 1, 0.50),
    {"run": "seed0/narrower@0.25", "label": "narrower", "fraction": 0.25, "seed": 0, "error": "budget: too small"},
]


def test_cells_and_noise(tmp_path):
    study = read_study(_write(tmp_path / "study.json", RUNS))
    cell = study.cell("snl", 0.25)
    assert cell.accuracies == (0.50, 0.52)
    assert cell.runs == ("seed0/snl@0.25", "seed1/snl@0.25")
    # Each of the four pairs is 2 points apart: variance 2e-4 with one degree of freedom each.
    assert study.noise == pytest.approx(math.sqrt(2e-4))
    assert study.fractions == (0.25,)
    assert study.baselines["resnet18:m=16,classes=100"].mean == pytest.approx(0.61)


def test_verdicts_follow_the_spread_of_the_seeds(tmp_path):
    study = read_study(_write(tmp_path / "study.json", RUNS))
    snl, random, hybrid = (study.cell(label, 0.25) for label in ("snl", "random", "hrn-snl"))
    assert compare(study, snl, random).word == "shown"
    assert compare(study, random, snl).word == "not shown"
    assert compare(study, hybrid, snl).word == "too small to tell"
    assert compare(study, snl, random).margin == pytest.approx(2 * math.sqrt(2e-4))
    text = claims_markdown(study)
    assert "- Chosen ReLUs beat random ones (SNL): **shown**." in text
    assert "`snl` - `random` +20.0 points (margin 2.8): shown; 100 against 100 ReLUs" in text
    assert "HRN with SNL is better than ResNet18 with SNL at equal ReLUs: **too small to tell**" in text
    assert "against half its width): not in this study" in text


def test_one_seed_shows_nothing(tmp_path):
    study = read_study(_write(tmp_path / "study.json", [run for run in RUNS if run["seed"] == 0]))
    assert compare(study, study.cell("snl", 0.25), study.cell("random", 0.25)).word == "too small to tell"


def test_high_and_low_claims_speak_of_their_own_budget(tmp_path):
    runs = [
        _run(label, fraction, seed, accuracy + 0.001 * seed)
        for (label, fraction, accuracy) in (
            ("snl", 0.25, 0.5),
            ("narrow-snl", 0.25, 0.4),
            ("snl", 0.06, 0.2),
            ("narrow-snl", 0.06, 0.2),
        )
        for seed in (0, 1)
    ]
    text = claims_markdown(read_study(_write(tmp_path / "study.json", runs)))
    assert "against half its width): **shown**" in text
    assert "low ReLU counts (the same, reversed): **too small to tell**" in text


def test_table_and_several_files(tmp_path):
    first = _write(tmp_path / "study.json", RUNS)
    second = _write(tmp_path / "claims.json", [*RUNS[2:4], _run("narrow-snl", 0.25, 0, 0.4)])
    text = results_markdown(read_study(first, second))
    assert "| `snl` | 25 % | 100 | 35.0 | 51.0 | 50.00, 52.00 | +20.0 |" in text
    assert "| `resnet18:m=16` | all | 400 |" in text
    assert text.count("| `snl` |") == text.count("| `narrow-snl` |") == 1
    assert "- seed0/narrower@0.25: budget: too small." in text


def test_what_is_no_study_is_refused(tmp_path):
    for content in ("{", "[]", '{"runs": []}', '{"runs": [{}]}'):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(InputError, match="expected"):
            read_study(tmp_path / "x.json")
