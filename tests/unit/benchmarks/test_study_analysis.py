"""Contrasts, verdicts and equal accuracy, on numbers written out by hand and on drawn ones with known effects."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measuring.equal_accuracy import at_accuracy
from measuring.study_analysis import LEVEL, Claim, Verdict, at_budgets, effect, holm, judge, tendency
from measuring.study_runs import Study, read_study
from measuring.study_tables import Analysis, claims_markdown, load_analysis, needed_markdown, results_markdown
from scipy import stats

from pi_system.errors import ConfigError, InputError

FRACTIONS = (0.5, 0.25, 0.125)
Runs = list[dict[str, Any]]


def run(
    label: str, fraction: float | None, seed: int, accuracy: float, relus: int = 100, **more: Any
) -> dict[str, Any]:
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


def studied(folder: Path, runs: Sequence[Mapping[str, Any]]) -> Study:
    file = folder / "study.json"
    file.write_text(json.dumps({"schema": 1, "runs": runs}))
    return read_study(file)


def claim(kind: Any = "difference", **more: Any) -> Claim:
    return Claim(text="a beats b", source="a paper", better="a", worse="b", kind=kind, **more)


def verdict(study: Study, asked: Claim) -> Verdict:
    (found,) = judge(study, [asked])
    assert isinstance(found, Verdict)
    return found


def drawn(
    folder: Path, seeds: int, rng: np.random.Generator, gain: float = 0.0, slope: float = 0.0, spread: float = 0.005
) -> Study:
    """Two curves on one baseline a seed that scatters far more than what their difference does."""
    runs: Runs = []
    for seed in range(seeds):
        base = 0.5 + 0.05 * rng.standard_normal()
        for place, fraction in enumerate(FRACTIONS):
            noise = spread * rng.standard_normal() / math.sqrt(2)
            other = spread * rng.standard_normal() / math.sqrt(2)
            runs.append(run("a", fraction, seed, base + gain + slope * place + noise))
            runs.append(run("b", fraction, seed, base + other))
    return studied(folder, runs)


def found_of(folder: Path, trials: int, asked: Claim, **effects: float) -> float:
    """Share of studies of five seeds in which the claim is decided."""
    rng = np.random.default_rng(7)
    words = [verdict(drawn(folder, 5, rng, **effects), asked).word for _ in range(trials)]
    return sum(word != "undecided" for word in words) / trials


def power(size: float, spread: float, seeds: int) -> float:
    """Probability that a paired contrast of this size is found with 5 % error, at this deviation between seeds."""
    freedom = seeds - 1
    shift, limit = size / spread * math.sqrt(seeds), float(stats.t.ppf((1 + LEVEL) / 2, freedom))
    return float(stats.nct.sf(limit, freedom, shift) + stats.nct.cdf(-limit, freedom, shift))


def test_seeds_are_paired(tmp_path: Path) -> None:
    """The baselines scatter by 10 points, the difference by one: paired within seeds it is found."""
    runs = [run("a", 0.5, seed, base + 0.02 + 0.001 * seed) for seed, base in enumerate((0.4, 0.5, 0.6))]
    runs += [run("b", 0.5, seed, base) for seed, base in enumerate((0.4, 0.5, 0.6))]
    found = verdict(studied(tmp_path, runs[::-1]), claim())
    assert found.word == "supported"
    assert list(found.effect.by_seed.values()) == pytest.approx([0.02, 0.021, 0.022])
    # Mean 0.021, deviation 0.001, t(2) = 4.303.
    assert found.effect.low == pytest.approx(0.021 - 4.303 * 0.001 / math.sqrt(3), abs=1e-6)
    assert verdict(studied(tmp_path, runs), Claim(text="", source="", better="b", worse="a")).word == "contradicted"


def test_a_tendency_is_the_slope_a_halving() -> None:
    found = tendency({0.5: {0: 0.01, 1: 0.03}, 0.25: {0: 0.03, 1: 0.04}, 0.125: {0: 0.05, 1: 0.05}})
    assert found.by_seed == pytest.approx({0: 0.02, 1: 0.01})
    assert found.value == pytest.approx(0.015)
    with pytest.raises(ConfigError, match="two budgets"):
        tendency({0.5: {0: 0.1}})


def test_a_seed_that_lacks_a_budget_is_left_out() -> None:
    assert set(tendency({0.5: {0: 0.1, 1: 0.1}, 0.25: {1: 0.2}}).by_seed) == {1}


def test_one_seed_decides_nothing(tmp_path: Path) -> None:
    found = verdict(studied(tmp_path, [run("a", 0.5, 0, 0.9), run("b", 0.5, 0, 0.1)]), claim())
    assert (found.word, found.effect.low, found.p) == ("undecided", -math.inf, 1.0)
    with pytest.raises(ConfigError, match="a seed"):
        effect({})


@pytest.mark.parametrize("kind", ["difference", "tendency"])
def test_without_an_effect_one_study_in_twenty_finds_one(tmp_path: Path, kind: str) -> None:
    """400 studies: 20 expected, and between 8 and 36 in all but one of 1,000 such tests."""
    assert 8 <= 400 * found_of(tmp_path, 400, claim(kind)) <= 36


@pytest.mark.parametrize(
    ("kind", "effects", "deviation"),
    [
        # A mean of three budgets scatters by spread / sqrt(3), a slope over three by spread / sqrt(2).
        ("difference", {"gain": 0.005}, 0.005 / math.sqrt(3)),
        ("tendency", {"slope": 0.005}, 0.005 / math.sqrt(2)),
    ],
)
def test_an_effect_is_found_as_often_as_power_says(
    tmp_path: Path, kind: str, effects: Mapping[str, float], deviation: float
) -> None:
    expected = power(0.005, deviation, 5)
    assert 0.5 < expected < 0.95
    error = math.sqrt(expected * (1 - expected) / 300)
    assert found_of(tmp_path, 300, claim(kind), **effects) == pytest.approx(expected, abs=3.5 * error)


def test_power_of_the_planned_study() -> None:
    """Five seeds within a network (deviations of 0.2 to 0.35 points) find 0.4 to 0.6 points four times in five."""
    assert power(0.4, 0.2, 5) > 0.8
    assert power(0.6, 0.35, 5) > 0.8
    assert power(0.0, 0.2, 5) == pytest.approx(0.05)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_primary_claims_are_corrected_and_exploratory_ones_say_what_they_are(tmp_path: Path) -> None:
    gains = (0.010, 0.013, 0.016)
    runs = [run(label, 0.5, seed, 0.5 + (label == "a") * gain) for seed, gain in enumerate(gains) for label in "ab"]
    study = studied(tmp_path, runs)
    alone = verdict(study, claim(primary=True))
    assert alone.word == "supported"
    several = judge(study, [claim(primary=True)] * 6)
    assert {one.word for one in several if isinstance(one, Verdict)} == {"undecided"}
    text = claims_markdown(study, Analysis(claims=(claim(), claim(primary=True))))
    assert "- a beats b (a paper): **supported**, exploratory. `a` - `b`: +1.3 (+0.6 to +2.0) points, 3 seeds." in text
    assert "- a beats b (a paper): **supported**. `a`" in text
    assert "  - 50 %: +1.3 (+0.6 to +2.0), 100 against 100 ReLUs, 35.0 against 35.0 M MACs." in text


def test_a_claim_speaks_of_its_own_budgets(tmp_path: Path) -> None:
    gains = {0.5: 0.1, 0.25: 0.0}
    runs = [
        run(label, fraction, seed, 0.5 + 0.001 * seed * (label == "a") + (label == "a") * gain)
        for fraction, gain in gains.items()
        for seed in range(3)
        for label in "ab"
    ]
    study = studied(tmp_path, runs)
    assert verdict(study, claim(budgets=(0.5,))).word == "supported"
    assert verdict(study, claim(budgets=(0.25,))).effect.value == pytest.approx(0.001)
    assert verdict(study, claim("tendency")).effect.value == pytest.approx(-0.1)
    missing = Claim(text="c beats d", source="", better="c", worse="d")
    assert judge(study, [missing]) == [missing]
    assert "- c beats d: not in this study (`c`, `d`)." in claims_markdown(study, Analysis(claims=(missing,)))


def test_the_table_has_a_row_a_cell_and_paired_margins(tmp_path: Path) -> None:
    runs = [run("baseline", None, seed, 0.6, 400) for seed in (0, 1)]
    runs += [run("fast", 0.25, 0, 0.50), run("fast", 0.25, 1, 0.52)]
    runs += [run("random", 0.25, 0, 0.30), run("random", 0.25, 1, 0.33)]
    runs += [{"run": "seed0/narrower@0.25", "label": "narrower", "fraction": 0.25, "seed": 0, "error": "too small"}]
    text = results_markdown(studied(tmp_path, runs))
    assert "| `fast` | 25 % | 100 | 35.0 | 51.0 | 50.00, 52.00 | +19.5 (+13.1 to +25.9) |" in text
    assert "| `resnet18:m=16` | all | 400 | 35.0 | 60.0 | 60.00, 60.00 |  |" in text
    assert "- seed0/narrower@0.25: too small." in text


def test_studies_are_read_as_one_under_their_names(tmp_path: Path) -> None:
    first, second = tmp_path / "study.json", tmp_path / "claims.json"
    first.write_text(json.dumps({"runs": [run("snl", 0.5, 0, 0.5), run("x", 0.5, 0, 0.4)]}))
    second.write_text(json.dumps({"runs": [run("snl", 0.5, 0, 0.5), run("snl", 0.5, 1, 0.6)]}))
    study = read_study(first, second, names={"snl": "fast"})
    assert set(study.curves) == {"fast", "x"}
    assert at_budgets(study, "fast", "x") == {0.5: {0: pytest.approx(0.1)}}
    for content in ("{", "[]", '{"runs": []}', '{"runs": [{}]}'):
        first.write_text(content)
        with pytest.raises(InputError, match="expected"):
            read_study(first)


def test_the_analysis_that_ships_reads_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    assert not any(found.primary for found in load_analysis().claims)  # written after the runs
    file = tmp_path / "x.toml"
    for content in ("[", "[names]\n", '[[claims]]\ntext = "x"\n', _wrong_kind()):
        file.write_text(content)
        with pytest.raises(ConfigError, match="expected"):
            load_analysis(file)


def _wrong_kind() -> str:
    return "[[claims]]\n" + "".join(f'{key} = "x"\n' for key in ("text", "source", "better", "worse", "kind"))


@pytest.fixture
def two_curves(tmp_path: Path) -> Callable[[], tuple[Study, dict[str, Any]]]:
    """``fast`` and ``deep`` on a network of 1,600 ReLUs; ``wide`` computes more than it and starts above."""

    def make() -> tuple[Study, dict[str, Any]]:
        whole = "resnet18:m=16,classes=100"
        runs = [run("baseline", None, 0, 0.6, 1600), run("baseline", None, 1, 0.6, 1600)]
        for seed in (0, 1):
            more = {"source": whole}
            runs += [run("fast", 0.25, seed, 0.5, 400, **more), run("fast", 0.0625, seed, 0.4, 100, **more)]
            runs += [run("deep", 0.25, seed, 0.3 + 0.1 * seed, 400, **more)]
            runs += [run("wide", 0.25, seed, 0.58, 400, source=whole, macs=70_000_000)]
            runs += [run("low", 0.25, seed, 0.3, 400, source=whole, macs=70_000_000)]
        labels = (("baseline", None, 16.0), ("fast", 0.25, 8.0), ("fast", 0.0625, 4.0), ("deep", 0.25, 6.0))
        labels += (("wide", 0.25, 2.0), ("low", 0.25, 2.0))  # type: ignore[assignment]
        results = [
            {"run": f"seed0/{label}@{fraction}", "link": "lan", "backend": "gmw", "online_ms": {"median": ms}}
            for label, fraction, ms in labels
        ]
        return studied(tmp_path, runs), {"results": results}

    return make


def test_equal_accuracy_is_interpolated_seed_by_seed(two_curves: Callable[[], tuple[Study, dict[str, Any]]]) -> None:
    study, costs = two_curves()
    found = {needed.label: needed for needed in at_accuracy(study, costs, 0.45, "fast")}
    assert list(found) == ["fast", "deep", "wide"]  # ``low`` never gets there: its source is another architecture
    assert found["fast"].relus == pytest.approx((200.0, 200.0))  # half way, in logarithms
    assert found["deep"].relus == pytest.approx((800.0, 400 * 4**0.25))  # half and a quarter of the way to the whole
    ms = [6 + 0.5 * 10, 6 + 0.25 * 10]
    ratio = found["deep"].ratios["lan", "gmw"]
    assert ratio.value == pytest.approx(math.sqrt(ms[0] * ms[1]) / 6)
    assert ratio.low < ratio.value < ratio.high
    assert (found["wide"].relus, found["wide"].at_most) == ((400.0, 400.0), True)
    assert at_accuracy(study, costs, 0.7, "fast") == []
    assert "| `wide` | at most 400, 400 |" in needed_markdown(study, costs)


def test_primary_claims_that_are_not_decided_yet_are_counted(tmp_path: Path) -> None:
    runs = [
        run(label, 0.5, seed, 0.5 + (label == "a") * (0.1 + 0.005 * seed)) for seed in range(3) for label in ("a", "b")
    ]
    study = studied(tmp_path, runs)
    later = [
        claim(primary=True),
        *(Claim(text="c", source="s", better="a", worse="later", primary=True) for _ in "123"),
    ]
    alone, counted = (judge(study, asked)[0] for asked in (later[:1], later))
    assert isinstance(alone, Verdict)
    assert isinstance(counted, Verdict)
    assert counted.p == pytest.approx(4 * alone.p)


def test_a_measure_is_one_number_a_seed(tmp_path: Path) -> None:
    file = tmp_path / "study.json"
    runs = [run("a", 0.5, 0, 0.5)]
    file.write_text(json.dumps({"schema": 1, "runs": runs, "measures": {"order": {"0": 0.8, "1": 1.0, "2": 0.6}}}))
    asked = Claim(text="m", source="s", better="order", kind="measure", worse="")
    found, missing = judge(read_study(file), [asked, Claim(text="m", source="s", better="x", worse="", kind="measure")])
    assert isinstance(found, Verdict)
    assert (found.effect.by_seed, found.word) == ({0: 0.8, 1: 1.0, 2: 0.6}, "supported")
    assert isinstance(missing, Claim)
