"""What measurements without a question of their own hold: cost model and accuracy study, as plain numbers."""

from typing import Any

from measuring.statistics import median_interval
from measuring.study_analysis import at_budgets, effect
from measuring.study_runs import Cell, Study
from measuring.study_tables import claims_markdown, control, load_analysis, load_study, needed, points
from measuring.validation import Validation
from report.sources import Sources


def study(sources: Sources) -> Study | None:
    """All studies of the folder as one; None without a finished run."""
    files = sources.files("study", "runs")
    return load_study(files) if files else None


def study_facts(sources: Sources) -> dict[str, Any] | None:
    """What sentences on the study need; None without one.

    ``baseline`` and ``budgets``: accuracies in percent as text; at each budget the curve with the best mean and what it
    is ahead of its control, with the interval. ``equal``: what curves need for one accuracy, where costs were measured.
    """
    found = study(sources)
    if found is None:
        return None
    configs = [stored.content["config"] for stored in sources.holding("study", "runs")]
    config, names = configs[0], load_analysis().names
    labels = dict.fromkeys(names.get(entry["label"], entry["label"]) for each in configs for entry in each["entries"])
    baseline = found.baselines.get(config["networks"][0])
    return {
        "network": config["networks"][0],
        "data": config["data"]["name"],
        "epochs": (config["baseline"]["epochs"], config["reduction"]["epochs"]),
        "seeds": len(config["seeds"]),
        "baseline": _accuracy(baseline) if baseline else None,
        "baseline_relus": baseline.relus if baseline else None,
        "budgets": [best for fraction in found.fractions if (best := _best(found, fraction))],
        "missing": [label for label in labels if label not in found.curves],
        "equal": _equal(sources, found),
        "claims": claims_markdown(found) if found.curves else "",
    }


def _best(found: Study, fraction: float) -> dict[str, Any] | None:
    """The best curve of a budget that has a control."""
    cells = [cells for label in found.curves if (cells := found.cell(label, fraction)) and control(found, label)]
    if not cells:
        return None
    best = max(cells, key=lambda cell: cell.mean)
    against = control(found, best.label)
    over = at_budgets(found, best.label, against).get(fraction)
    return {
        "percent": 100 * fraction,
        "best": best.label,
        "accuracy": _accuracy(best),
        "control": against,
        "over": points(effect(over)) if over else None,
    }


def _accuracy(cell: Cell) -> str:
    return f"{100 * cell.mean:.1f} % ({', '.join(f'{100 * value:.1f}' for value in cell.accuracies)})"


def _equal(sources: Sources, found: Study) -> dict[str, Any] | None:
    """Curves by their time for one accuracy, at the last link of the study's costs."""
    stored = sources.holding("study", "results")
    target, curves = needed(found, stored[-1].content) if stored else (0.0, [])
    links = list(dict.fromkeys(link for one in curves for link, _ in one.ratios))
    if not links:
        return None
    link, base = links[-1], curves[0]
    return {
        "accuracy": 100 * target,
        "base": base.label,
        "link": link,
        "backends": {
            backend: [(one.label, one.ratios[link, backend], one.at_most) for one in curves[1:]]
            for where, backend in base.ratios
            if where == link
        },
    }


def cost_model(sources: Sources) -> dict[str, Any] | None:
    """How far predictions are from measurements, in percent as text with intervals; None without a validation."""
    stored = sources.holding("cost_model", "points")
    if not stored:
        return None
    found = Validation.read(sources.results / stored[-1].file).points
    errors = {
        "online": [abs(point.error) for point in found],
        "offline": [abs(point.offline_error) for point in found],
    }
    return {
        "networks": len({point.network for point in found}),
        "points": len(found),
        "exact": sum(point.exact for point in found),
        "backends": list(dict.fromkeys(point.backend for point in found)),
        "links": list(dict.fromkeys(point.link for point in found)),
        "worst_of": max(found, key=lambda point: abs(point.error)),
        **{name: _percent(values) for name, values in errors.items()},
        **{f"{name}_worst": f"{100 * max(values):.1f} %" for name, values in errors.items()},
    }


def _percent(errors: list[float]) -> str:
    found = median_interval(errors, between_runs=0.0)
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"
