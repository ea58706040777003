"""docs/reference/claims.md: every claim of the papers, the contrast that decides it here, and what came of it.

From the catalogue (benchmarks/study/claims.toml), the plan, the JSON of its finished runs, and the first study, whose
contrasts were written after its runs were seen and are exploratory throughout.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from measuring import BENCHMARKS, RESULTS
from measuring.documents import markdown
from measuring.study_analysis import Claim, Verdict, judge
from measuring.study_plan import PLAN, Plan, PlannedClaim, load_plan
from measuring.study_queue import relus
from measuring.study_runs import Study, read_study
from measuring.study_tables import load_analysis, load_study, points
from pydantic import BaseModel, ConfigDict, ValidationError

from pi_system.errors import ConfigError
from pi_system.train.files import write_atomic

DOCUMENT: Final = BENCHMARKS.parent / "docs" / "reference" / "claims.md"
RUNS: Final = RESULTS / "plan" / "study.json"
CATALOGUE: Final = BENCHMARKS / "study" / "claims.toml"
FIRST: Final = (RESULTS / "study" / "study.json", RESULTS / "study" / "claims.json")
_ROWS: Final = (
    "curve=`{curve}`|budget={budget}|ReLUs={relus:,.0f}|MACs, M={macs:/1e6,.1f}|parameters={parameters:,.0f}"
    "|accuracy={mean:.1f}|seeds={seeds}|core-seconds={core_seconds:,.0f}"
)
_COLUMNS: Final = "claim={text}|source={source}|contrast={contrast}|result={result}|scale={scale}|verdict={verdict}"


class Published(BaseModel):
    """What a paper says; ``plan`` and ``first`` are ids of contrasts, ``reason`` why there is none, or a note."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    source: str
    verified: bool
    plan: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    reason: str = ""


def load_catalogue(plan: Plan, path: Path = CATALOGUE) -> tuple[Published, ...]:
    """Read the catalogue. Raises ConfigError: a wrong field, an unknown contrast, or no contrast and no reason."""
    try:
        found = tuple(Published(**claim) for claim in tomllib.loads(path.read_text())["claims"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise ConfigError(f"{path.name}: expected claims in TOML; {str(error).splitlines()[0]}") from error
    known = {"plan": {claim.id for claim in plan.claims}, "first": {claim.id for claim in load_analysis().claims}}
    for claim in found:
        wrong = sorted({*claim.plan} - known["plan"] | {*claim.first} - known["first"]) or "none"
        if wrong != "none" or not (claim.plan or claim.first or claim.reason):
            raise ConfigError(f"{path.name}, {claim.text!r}: expected known contrasts or a reason; found {wrong}")
    return found


def planned(plan: Plan, primary: Sequence[str]) -> list[Claim]:
    """The plan's claims as contrasts, budgets as shares of each block's network."""
    whole = {block.name: relus(block.reference) for block in plan.blocks}
    return [
        claim.model_copy(
            update={"budgets": tuple(b / whole[claim.block] for b in claim.budgets), "primary": claim.id in primary}
        )
        for claim in plan.claims
    ]


def document(plan: Plan, runs: Path = RUNS, catalogue: Path = CATALOGUE) -> str:
    """All of docs/reference/claims.md."""
    content: Mapping[str, Any] = json.loads(runs.read_text()) if runs.is_file() else {"runs": [], "primary": []}
    study = read_study(runs) if any("error" not in run for run in content["runs"]) else None
    asked = {claim.id: claim for claim in plan.claims}
    found = _verdicts(study, planned(plan, content["primary"])) if study else {}
    first = load_study(FIRST)
    old = _verdicts(first, load_analysis().claims)
    published = load_catalogue(plan, catalogue)
    rows = []
    for claim in published:
        cells = [_planned(plan, asked[name], found.get(name)) for name in claim.plan]
        cells += [_judged(old[name], _scale_first(first, old[name])) for name in claim.first]
        if claim.reason:
            cells.append(_cells(verdict=claim.reason if cells else f"not testable here: {claim.reason}"))
        about = {"text": claim.text, "source": claim.source + ("" if claim.verified else " (from memory)")}
        rows += [about | cells[0], *({"text": "", "source": ""} | cell for cell in cells[1:])]
    return _HEAD.format(
        claims=len(published),
        tested=sum(bool(claim.plan) for claim in published),
        finished=_runs(content),
        table=markdown(rows, _COLUMNS),
        rows=_rows(content),
    )


_HEAD: Final = """# Claims of the papers

Made by `python benchmarks/study.py report` from `benchmarks/study/claims.toml`, the plan beside it (`plan.toml`), its
runs (`benchmarks/results/plan/study.json`) and the first study; a test holds it current.

{claims} claims, {tested} with a contrast in the plan. Finished runs of the plan: {finished}

A contrast is better - worse in points of test accuracy, paired within seeds (of a tendency: a halving of the ReLUs; of
a measure: a rank correlation), in brackets Student's 95 % interval. **Supported**: it lies on the side that is claimed;
**contradicted**: on the other; else **undecided**: a verdict on the direction at this scale, not on the paper's figure.
Primary claims of the plan are corrected for their number (Holm); *exploratory* ones were written after runs were seen,
as all of the first study (8 + 2 epochs), and are not. Sources `from memory` were not verified.

{table}
{rows}"""


def _verdicts(study: Study, claims: Iterable[Claim]) -> dict[str, Verdict]:
    return {one.claim.id: one for one in judge(study, claims) if isinstance(one, Verdict)}


def _runs(content: Mapping[str, Any]) -> str:
    if not content["runs"]:
        return "none yet."
    seeds = {run["seed"] for run in content["runs"]}
    hours = content["core_seconds"] / 3600
    count = len({run["run"] for run in content["runs"]})
    return f"{count}, of {len(seeds)} seeds, {hours:.1f} core-hours, from commit {content['first_commit'][:10]} on."


def _rows(content: Mapping[str, Any]) -> str:
    """Every curve at every budget; nothing before the first run."""
    groups: dict[tuple[str, int | None], list[Mapping[str, Any]]] = {}
    for run in content["runs"]:
        if "error" not in run:
            groups.setdefault(
                (run["network"] if run["fraction"] is None else run["label"], run.get("budget")), []
            ).append(run)
    rows = [
        {
            "curve": label,
            "budget": "all" if budget is None else f"{budget:,}",
            **{name: fmean(run[name] for run in runs) for name in ("relus", "macs", "parameters", "core_seconds")},
            "mean": 100 * fmean(run["test_accuracy"] for run in runs),
            "seeds": ", ".join(f"{run['seed']}: {100 * run['test_accuracy']:.2f}" for run in runs),
        }
        for (label, budget), runs in groups.items()
    ]
    missed = [f"- `{run['run']}`: {run['error']}" for run in content["runs"] if "error" in run]
    table = ["", "## Every row", "", markdown(rows, _ROWS), *(["", "Out of reach:", "", *missed] if missed else []), ""]
    return "\n".join(table) if rows else ""


def _cells(contrast: str = "", result: str = "", scale: str = "", verdict: str = "") -> dict[str, str]:
    return {"contrast": contrast, "result": result, "scale": scale, "verdict": verdict}


def _contrast(claim: Claim) -> str:
    if claim.kind == "measure":
        return f"`{claim.better}`"
    return f"`{claim.better}` - `{claim.worse}`" + (", tendency" if claim.kind == "tendency" else "")


def _planned(plan: Plan, claim: PlannedClaim, found: Verdict | None) -> dict[str, str]:
    if found is None:
        needs = plan.block(claim.block).needs
        about = [f"block {claim.block}", "primary" if claim.primary else "", f"needs {needs}" if needs else ""]
        return _cells(_contrast(claim), "-", _scale(plan, claim), f"not run yet ({', '.join(filter(None, about))})")
    return _judged(found, f"{_scale(plan, claim)}, {len(found.effect.by_seed)} seeds")


def _judged(found: Verdict, scale: str) -> dict[str, str]:
    effect = found.effect
    result = points(effect)
    if found.claim.kind == "measure":
        result = f"{effect.value:+.2f} ({effect.low:+.2f} to {effect.high:+.2f})"
    mark = "" if found.claim.primary else ", exploratory"
    note = f". {found.claim.note}" if found.claim.note else ""
    return _cells(_contrast(found.claim), result, scale, f"**{found.word}**{mark}{note}")


def _scale(plan: Plan, claim: PlannedClaim) -> str:
    curves = [curve for curve in plan.curves if curve.label in (claim.better, claim.worse)]
    common = [b for b in curves[0].budgets if all(b in curve.budgets for curve in curves)]
    budgets = sorted(claim.budgets or common, reverse=True)
    networks = " and ".join(dict.fromkeys(f"`{curve.network}`" for curve in curves))
    shown = [f"{budgets[0]:,} to {budgets[-1]:,} ReLUs" if len(budgets) > 1 else f"{b:,} ReLUs" for b in budgets[:1]]
    return ", ".join([networks, *shown])


def _scale_first(first: Study, found: Verdict) -> str:
    counts = [cell.relus for f in found.claim.budgets or found.at if (cell := first.cell(found.claim.better, f))]
    networks = next(iter(first.baselines)).split(",")[0]
    shown = f"{max(counts):,.0f} to {min(counts):,.0f} ReLUs" if len(counts) > 1 else f"{counts[0]:,.0f} ReLUs"
    return f"first study, `{networks}`, {shown}, {len(found.effect.by_seed)} seeds"


def write_claims(path: Path = DOCUMENT, plan: Plan | None = None, runs: Path = RUNS) -> None:
    """Write the document."""
    write_atomic(path, document(plan or load_plan(PLAN), runs))
