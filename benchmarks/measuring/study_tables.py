"""A study in Markdown: a row a curve and budget, and every claim with its interval and verdict, from its JSON alone."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from measuring import RESULTS
from measuring.equal_accuracy import Needed, at_accuracy
from measuring.study_analysis import Claim, Effect, Verdict, at_budgets, effect, judge
from measuring.study_runs import Cell, Study, read_study

from pi_system.errors import ConfigError

LOSS: Final = 0.03
"""What equal accuracy may lose against the first network with all its ReLUs."""
BASE: Final = "fast"
"""The curve whose time is the measure at equal accuracy."""
ANALYSIS: Final = RESULTS.parent / "study" / "first.toml"


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is asked of a study: what its curves are called where not as in its JSON, and the claims."""

    names: Mapping[str, str]
    claims: tuple[Claim, ...]


def load_analysis(path: Path = ANALYSIS) -> Analysis:
    """Read an analysis from TOML. Raises ConfigError: a field is unknown, missing or wrong."""
    try:
        content = tomllib.loads(path.read_text())
        claims = [Claim(**{**claim, "budgets": tuple(claim.get("budgets", ()))}) for claim in content["claims"]]
        return Analysis(dict(content.get("names", {})), tuple(claims))
    except (OSError, ValueError, KeyError, TypeError) as error:
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


def results_markdown(study: Study) -> str:
    """A row a curve and budget: ReLUs, MACs, every seed's accuracy, and the paired margin over its control."""
    lines = [
        "| curve | budget | ReLUs | MACs, M | accuracy | seeds | over its control |",
        "|---|---|---|---|---|---|---|",
        *(_row(study, cell) for cell in study.cells),
        "",
        "Accuracy on the test pictures in percent, mean of seeds and each of them. The control of masks of pixels is "
        "`random`, of all others `random-channel`; a margin is the mean of the seeds' own, in points, with its 95 % "
        "interval (Student's t, one degree of freedom less than seeds).",
    ]
    impossible = [f"- {line.rstrip('.')}." for line in study.impossible]
    return "\n".join([*lines, *(["", "Not possible:", ""] if impossible else []), *impossible])


def _row(study: Study, cell: Cell) -> str:
    seeds = ", ".join(f"{100 * value:.2f}" for value in cell.accuracies)
    budget = "all" if cell.fraction is None else f"{100 * cell.fraction:.4g} %"
    found = at_budgets(study, cell.label, control(study, cell.label)) if cell.fraction else {}
    over = points(effect(found[cell.fraction])) if cell.fraction in found else ""
    relus, macs = _sizes(cell)
    return f"| `{cell.label.split(',')[0]}` | {budget} | {relus} | {macs} | {100 * cell.mean:.1f} | {seeds} | {over} |"


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
    relus, macs = (" against ".join(text) for text in zip(*(_sizes(cell) for cell in cells), strict=True))
    return f"{relus} ReLUs, {macs} M MACs"


def _sizes(cell: Cell) -> tuple[str, str]:
    return f"{cell.relus:,.0f}", f"{cell.macs / 1e6:.1f}"


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
    head = " | ".join(f"`{backend}`, {link}" for link, backend in places)
    lines = [f"| curve | ReLUs, each seed | {head} |", f"|---|---|{'---|' * len(places)}"]
    for one in found:
        relus = ", ".join(f"{count:,.0f}" for count in one.relus)
        ratios = [f"{r.value:.2f} ({r.low:.2f} to {r.high:.2f})" if (r := one.ratios.get(p)) else "-" for p in places]
        lines.append(f"| `{one.label}` | {'at most ' if one.at_most else ''}{relus} | {' | '.join(ratios)} |")
    text = (
        f"For {100 * target:.1f} %, {100 * LOSS:.0f} points below the first network with all its ReLUs; by "
        f"interpolation between the budgets of each seed. Online ms as multiples of `{BASE}`'s, with 95 % intervals "
        "over seeds; networks' times are those of one seed, measured once (the table above)."
    )
    return "\n".join([text, "", *lines])
