"""docs/reference/claims.md is what the plan, its runs and the first study make of the papers' claims."""

import json
from pathlib import Path
from typing import Any

import pytest
from measuring.study_claims import CATALOGUE, DOCUMENT, document, load_catalogue
from measuring.study_plan import load_plan

from pi_system.errors import ConfigError

PLAN = load_plan()


def rows(text: str) -> list[list[str]]:
    return [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")][1:]


def test_the_document_is_current() -> None:
    assert DOCUMENT.read_text() == document(PLAN), "run python benchmarks/study.py report"


def test_every_claim_has_a_verdict_or_a_reason_and_every_contrast_of_the_plan_a_claim() -> None:
    published = load_catalogue(PLAN)
    assert len(published) >= 24
    assert all(row[5].strip() for row in rows(document(PLAN)))
    used = {name for claim in published for name in claim.plan}
    assert {claim.id for claim in PLAN.claims} - used == set()


@pytest.mark.parametrize(
    "change",
    ['plan = ["magic"]', 'colour = "red"', 'first = ["magic"]', "reason = 3", ""],
    ids=lambda change: change[:9],
)
def test_a_claim_without_known_contrasts_or_reason_is_refused(tmp_path: Path, change: str) -> None:
    file = tmp_path / "claims.toml"
    file.write_text(f'[[claims]]\ntext = "t"\nsource = "s"\nverified = true\n{change}\n')
    with pytest.raises(ConfigError, match=r"claims\.toml"):
        load_catalogue(PLAN, file)


def test_verdicts_come_from_the_runs(tmp_path: Path) -> None:
    def run(label: str, seed: int, accuracy: float, fraction: float = 0.5) -> dict[str, Any]:
        about = {"run": f"seed{seed}/{label}", "label": label, "fraction": fraction, "seed": seed}
        sizes = {"relus": 69632, "macs": 35_060_000, "parameters": 712_345, "core_seconds": 400, "budget": 70000}
        return about | sizes | {"network": "n", "test_accuracy": accuracy, "source": "n"}

    def changed(primary: list[str], gain: float) -> dict[str, list[str]]:
        runs = [
            run(label, seed, 0.5 + 0.001 * seed * (label == "fast") + (gain if label == "fast" else 0.0), fraction)
            for seed in range(3)
            for label in ("fast", "narrow-fast")
            for fraction in (0.5, 0.25)
        ]
        measures = {"sensitivity": {"0": 0.3, "1": 0.4}}
        content = {
            "primary": primary,
            "runs": runs,
            "core_seconds": 7200,
            "first_commit": "a" * 40,
            "measures": measures,
        }
        (tmp_path / "study.json").write_text(json.dumps(content))
        text = document(PLAN, tmp_path / "study.json", CATALOGUE)
        assert "Finished runs of the plan: 6, of 3 seeds, 2.0 core-hours" in text
        assert "| `narrow-fast` | 70,000 | 69,632 | 35.1 | 712,345 | 50.0 | 0: 50.00, 0: 50.00," in text
        text = text.partition("## Every row")[0]
        return {row[2].strip(): row for row in reversed(rows(text)) if "first study" not in row[4]}

    wide = changed(["width-high"], 0.1)["`fast` - `narrow-fast`"]
    assert wide[3].strip() == "+10.1 (+9.9 to +10.3)"
    assert wide[4].strip() == "`resnet18:m=16` and `resnet18:m=8`, 69,632 to 34,816 ReLUs, 3 seeds"
    assert wide[5].strip().startswith("**supported**.")
    assert changed([], 0.1)["`fast` - `narrow-fast`"][5].strip().startswith("**supported**, exploratory.")
    assert "**contradicted**" in changed([], -0.1)["`fast` - `narrow-fast`"][5]
    measured = changed([], 0.1)["`sensitivity`"]
    assert measured[3].strip() == "+0.35 (-0.29 to +0.99)"
    assert "**undecided**" in measured[5]
    assert "not run yet (block C, primary, needs cuda)" in changed([], 0.1)["`paper-snl` - `paper-fast`"][5]
