"""What measurements without a question of their own hold: cost model and accuracy study, as plain numbers."""

import math
from typing import Any

from measuring.statistics import median_interval
from measuring.validation import load_validation
from report.sources import Sources

from pi_system.reduce.study_report import Cell, Study, claims_markdown, read_study

_MARGIN = 2.0
"""Standard errors of a 95 % interval, as in pi_system.reduce.study_report."""


def study(sources: Sources) -> Study | None:
    """All studies of the folder as one; None without a finished run."""
    files = sources.files("study", "runs")
    return read_study(*files) if files else None


def study_facts(sources: Sources) -> dict[str, Any] | None:
    """What sentences on the study need; None without one.

    ``baseline`` and ``budgets``: accuracies in percent with their intervals, as text; at each budget the best curve,
    the best control with random masks, and how far they are apart.
    """
    found = study(sources)
    if found is None:
        return None
    configs = [stored.content["config"] for stored in sources.holding("study", "runs")]
    config, entries = configs[0], [entry["label"] for each in configs for entry in each["entries"]]
    baseline = found.baselines.get(config["networks"][0])
    budgets = []
    for fraction in found.fractions:
        cells = [cell for cells in found.curves.values() for cell in cells if cell.fraction == fraction]
        chosen = [cell for cell in cells if not cell.label.startswith("random")]
        random = [cell for cell in cells if cell.label.startswith("random")]
        if chosen:
            best = max(chosen, key=lambda cell: cell.mean)
            control = max(random, key=lambda cell: cell.mean, default=None)
            budgets.append(
                {
                    "percent": 100 * fraction,
                    "best": best.label,
                    "accuracy": _accuracy(found, best),
                    "relus": best.relus,
                    "random": _accuracy(found, control) if control else None,
                }
            )
    return {
        "network": config["networks"][0],
        "data": config["data"]["name"],
        "epochs": (config["baseline"]["epochs"], config["reduction"]["epochs"]),
        "seeds": len(config["seeds"]),
        "baseline": _accuracy(found, baseline) if baseline else None,
        "baseline_relus": baseline.relus if baseline else None,
        "budgets": budgets,
        "noise": 100 * found.noise,
        "missing": [label for label in dict.fromkeys(entries) if label not in found.curves],
        "claims": claims_markdown(found) if found.curves else "",
    }


def interval_points(found: Study, cell: Cell) -> tuple[float, float] | None:
    """Low and high of a mean accuracy in percent, from the spread between seeds; None with one seed."""
    if len(cell.accuracies) < 2 or not found.noise:
        return None
    half = 100 * _MARGIN * found.noise / math.sqrt(len(cell.accuracies))
    return 100 * cell.mean - half, 100 * cell.mean + half


def _accuracy(found: Study, cell: Cell) -> str:
    around = interval_points(found, cell)
    return f"{100 * cell.mean:.1f} %" + (f" ({around[0]:.1f} to {around[1]:.1f})" if around else "")


def cost_model(sources: Sources) -> dict[str, Any] | None:
    """How far predictions are from measurements, in percent as text with intervals; None without a validation."""
    stored = sources.holding("cost_model", "points")
    if not stored:
        return None
    points = load_validation(sources.results / stored[-1].file).points
    errors = {
        "online": [abs(point.error) for point in points],
        "offline": [abs(point.offline_error) for point in points],
    }
    return {
        "networks": len({point.network for point in points}),
        "points": len(points),
        "exact": sum(point.exact for point in points),
        "backends": list(dict.fromkeys(point.backend for point in points)),
        "links": list(dict.fromkeys(point.link for point in points)),
        "worst_of": max(points, key=lambda point: abs(point.error)),
        **{name: _percent(values) for name, values in errors.items()},
        **{f"{name}_worst": f"{100 * max(values):.1f} %" for name, values in errors.items()},
    }


def _percent(errors: list[float]) -> str:
    found = median_interval(errors, between_runs=0.0)
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"
