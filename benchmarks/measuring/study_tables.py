"""A study in Markdown: a row a curve and budget, and every claim with its interval and verdict, from its JSON alone."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from measuring import RESULTS
from measuring.documents import markdown
from measuring.equal_accuracy import Needed, Place, at_accuracy
from measuring.study_analysis import Claim, Effect, Verdict, at_budgets, effect, judge
from measuring.study_runs import Cell, Study, read_study
from pydantic import BaseModel

from pi_system.errors import ConfigError

LOSS: Final = 0.03
"""What equal accuracy may lose against the first network with all its ReLUs."""
BASE: Final = "fast"
"""The curve whose time is the measure at equal accuracy."""
ANALYSIS: Final = RESULTS.parent / "study" / "first.toml"


class Analysis(BaseModel):
    """What is asked of a study: what its curves are called where not as in its JSON, and the claims."""

    names: dict[str, str] = {}
    claims: tuple[Claim, ...]


def load_analysis(path: Path = ANALYSIS) -> Analysis:
    """Read an analysis from TOML. Raises ConfigError: a field is unknown, missing or wrong."""
    try:
        return Analysis(**tomllib.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: expected names and claims of a study in TOML; {error}") from error


def load_study(files: Sequence[Path]) -> Study:
    """The studies in these files as one, curves by their names in the analysis. Raises InputError."""
    return read_study(*files, names=load_analysis().names)


def control(study: Study, label: str) -> str:
    """Of a curve: random masks of its own granularity, random channels for whole layers; "" for a control."""
    if label.startswith(("random", "narrower")):
        return ""
    pixels = label.endswith(("fast", "fast-by-layer"))
    return "random" if pixels or "random-channel" not in study.curves else "random-channel"


_RESULTS: Final = (
    "curve=`{name}`|budget|ReLUs=relus:,.0f|MACs, M=macs:/1e6,.1f|accuracy=accuracy:.1f|seeds|over its control=over"
)


def results_markdown(study: Study) -> str:
    """A row a curve and budget: ReLUs, MACs, every seed's accuracy, and the paired margin over its control."""
    lines = [
        markdown([_row(study, cell) for cell in study.cells], _RESULTS),
        "",
        "Accuracy on the test pictures in percent, mean of seeds and each of them. The control of masks of pixels is "
        "`random`, of all others `random-channel`; a margin is the mean of the seeds' own, in points, with its 95 % "
        "interval (Student's t, one degree of freedom less than seeds).",
    ]
    impossible = [f"- {line.rstrip('.')}." for line in study.impossible]
    return "\n".join([*lines, *(["", "Not possible:", ""] if impossible else []), *impossible])


def _row(study: Study, cell: Cell) -> dict[str, Any]:
    found = at_budgets(study, cell.label, control(study, cell.label)) if cell.fraction else {}
    return {
        "name": cell.label.split(",")[0],
        "budget": "all" if cell.fraction is None else f"{100 * cell.fraction:.4g} %",
        "relus": cell.relus,
        "macs": cell.macs,
        "accuracy": 100 * cell.mean,
        "seeds": ", ".join(f"{100 * value:.2f}" for value in cell.accuracies),
        "over": points(effect(found[cell.fraction])) if cell.fraction in found else "",
    }


def points(found: Effect) -> str:
    """In points, with the interval where there is one."""
    if len(found.by_seed) < 2:
        return f"{100 * found.value:+.1f} (one seed)"
    return f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def claims_markdown(study: Study, analysis: Analysis | None = None) -> str:
    """Every claim with its verdict, interval, seeds, scale and what it was at each budget."""
    judged = judge(study, (analysis or load_analysis()).claims)
    return "\n".join([_RULE, "", *(line for one in judged for line in _claim(study, one))])


_RULE = (
    "Contrasts are paired within seeds: a seed's reductions start from one trained network. In brackets the 95 % "
    "interval of Student's t. **Supported**: it lies on the side that is claimed; **contradicted**: on the other; else "
    "**undecided**. *Exploratory*: written after the runs were seen, not corrected for the number of claims."
)


def _claim(study: Study, judged: Verdict | Claim) -> list[str]:
    if isinstance(judged, Claim):
        return [f"- {judged.text}: not in this study (`{judged.better}`, `{judged.worse}`)."]
    claim, found = judged.claim, judged.effect
    unit = "points a halving of the ReLUs" if claim.kind == "tendency" else "points"
    marks = "" if claim.primary else ", exploratory"
    seeds = f"{len(found.by_seed)} seed{'s' if len(found.by_seed) > 1 else ''}"
    note = f" {claim.note}" if claim.note else ""
    budgets = [
        f"{100 * fraction:.4g} %: {points(each)}, {_counts(study, claim, fraction)}"
        for fraction, each in judged.at.items()
    ]
    return [
        f"- {claim.text} ({claim.source}): **{judged.word}**{marks}. `{claim.better}` - `{claim.worse}`: "
        f"{points(found)} {unit}, {seeds}.{note}",
        *(f"  - {line}." for line in budgets),
    ]


def _counts(study: Study, claim: Claim, fraction: float) -> str:
    cells = [cell for label in (claim.better, claim.worse) if (cell := study.cell(label, fraction))]
    relus, macs = (" against ".join(text) for text in zip(*map(_sizes, cells), strict=True))
    return f"{relus} ReLUs, {macs} M MACs"


def _sizes(cell: Cell) -> tuple[str, str]:
    return f"{cell.relus:,.0f}", f"{cell.macs / 1e6:.1f}"


def costs_markdown(study: Study, costs: Mapping[str, Any]) -> str:
    """A row a measured network: accuracy (mean of seeds); online time, rounds and kB of every backend and link.

    Times are multiples of the first network's: a study's costs are measured beside its trainings.
    """
    results, rows, base = costs["results"], [], dict[str, float]()
    places = dict.fromkeys((entry["link"], entry["backend"]) for entry in results)
    for cell in study.cells:
        run = next((run for run in cell.runs.values() if run in costs["networks"]), None)
        if run is not None:
            name = cell.label.split(",")[0] if cell.fraction is None else f"{cell.label} {100 * cell.fraction:.4g} %"
            about = {"name": name, "relus": costs["networks"][run]["relus"], "accuracy": 100 * cell.mean}
            own = {_key(e["link"], e["backend"]): _cost(e, base) for e in results if e["run"] == run}
            rows.append({_key(*place): "-" for place in places} | own | about)
    lines = [markdown(rows, "network=`{name}`|ReLUs=relus:,|accuracy=accuracy:.1f|" + _place_columns(places))]
    lines += ["", "Each cell: online time over the first network's, round trips, online kB in both directions."]
    errors = {f"- `{e['run']}`, `{e['backend']}`: {e['error']}." for e in results if "error" in e}
    return "\n".join([*lines, *(["", "Not measured, for what held that day:", *sorted(errors)] if errors else [])])


def _cost(entry: Mapping[str, Any], base: dict[str, float]) -> str:
    """``base``: the first time of each backend and link, filled here."""
    if "error" in entry:
        return "-"
    ms = entry["online_ms"]["median"]
    first = base.setdefault(_key(entry["link"], entry["backend"]), ms)
    size = sum(entry["online_bytes"].values()) / 1e3
    return f"{ms / first:.2f}, {entry['online_rounds']}, {size:,.0f}"


def _key(link: str, backend: str) -> str:
    return f"{backend}/{link}"


def _place_columns(places: Iterable[Place]) -> str:
    return "|".join(f"`{backend}`, {link}={_key(link, backend)}" for link, backend in places)


def needed(study: Study, costs: Mapping[str, Any]) -> tuple[float, list[Needed]]:
    """The accuracy ``LOSS`` below the first network's, and what every curve needs for it."""
    target = next(iter(study.baselines.values())).mean - LOSS
    return target, at_accuracy(study, costs, target, BASE)


def needed_markdown(study: Study, costs: Mapping[str, Any]) -> str:
    """A row a curve: the ReLUs it needs, each seed, and online ms as multiples of the first curve's."""
    target, found = needed(study, costs)
    if not found:
        return f"Not every seed of `{BASE}` reaches {100 * target:.1f} %."
    places = list(dict.fromkeys(place for one in found for place in one.ratios))
    rows = []
    for one in found:
        relus = ", ".join(f"{count:,.0f}" for count in one.relus)
        ratios = {_key(*p): f"{r.value:.2f} ({r.low:.2f} to {r.high:.2f})" for p, r in one.ratios.items()}
        about = {"label": one.label, "relus": f"{'at most ' if one.at_most else ''}{relus}"}
        rows.append({_key(*place): "-" for place in places} | ratios | about)
    text = (
        f"For {100 * target:.1f} %, {100 * LOSS:.0f} points below the first network with all its ReLUs; by "
        f"interpolation between the budgets of each seed. Online ms as multiples of `{BASE}`'s, with 95 % intervals "
        "over seeds; networks' times are those of one seed, measured once (the table above)."
    )
    return f"{text}\n\n{markdown(rows, 'curve=`{label}`|ReLUs, each seed=relus|' + _place_columns(places))}"
