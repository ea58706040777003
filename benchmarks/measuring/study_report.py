"""From the records of a plan's runs to the JSON that every table and sentence is made of.

A finished run counts if each of its sittings ran by a plan that its commit has and that this run is in, and if the plan
of today still has it. A primary claim is one if the plan at the commit of the first counted run has it, and its
curves, as they are today; all others are exploratory.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from measuring.study_plan import Plan, PlannedClaim
from measuring.study_queue import Run, cells, queue, relus
from measuring.study_record import Record, plan_at, read_records
from measuring.study_runner import chosen
from measuring.study_runs import BASELINE

from pi_system.errors import ConfigError

SCHEMA = 1


def collect(plan: Plan, path: Path, out: Path) -> dict[str, Any]:
    """The JSON of what is finished in ``out``; ``path`` is the plan's file, in its checkout."""
    records = read_records(out)
    runs = queue(plan, chosen(plan, records))
    finished = {run.key: run for run in runs if run.key in records and records[run.key].result is not None}
    reasons = _reasons(path, records, finished)
    counted = {key: records[key] for key in finished if not reasons[key]}
    first = min((s for record in counted.values() for s in record.sittings), key=lambda s: s.started, default=None)
    then = plan_at(path, first.commit) if first else plan
    return {
        "schema": SCHEMA,
        "plan": plan.digest,
        "first_commit": first.commit if first else None,
        "commits": sorted({s.commit for record in counted.values() for s in record.sittings}),
        "machines": _unique([s.machine for record in counted.values() for s in record.sittings]),
        "primary": [claim.id for claim in plan.claims if _announced(claim, plan, then)],
        "core_seconds": round(sum(record.core_seconds for record in counted.values())),
        "runs": [
            *_baselines(finished, counted),
            *(e for c in plan.curves if c.method for e in _curve(plan, c.label, counted)),
        ],
        "measures": _measures(plan, counted, lambda result: result["value"]),
        "measured": _measures(plan, counted, lambda result: {k: v for k, v in result.items() if k != "value"}),
        "trials": [_trial(finished[key], record) for key, record in counted.items() if finished[key].label],
        "not_counted": {key: reason for key, reason in reasons.items() if reason},
        "left": len(runs) - len(counted),
    }


def _reasons(path: Path, records: Mapping[str, Record], finished: Mapping[str, Run]) -> dict[str, str]:
    """Why each finished run does not count; "" if it does."""

    @cache
    def settings(commit: str) -> tuple[str, dict[str, str]]:
        plan = plan_at(path, commit)
        return plan.digest, {run.key: _text(run.settings) for run in queue(plan, chosen(plan, dict(records)))}

    def reason(key: str, run: Run) -> str:
        if _text(records[key].settings) != _text(run.settings):
            return "the plan has it with other settings"
        for sitting in records[key].sittings:
            try:
                digest, planned = settings(sitting.commit)
            except ConfigError as error:
                return str(error)
            if digest != sitting.plan or planned.get(key) != _text(run.settings):
                return f"not in the plan of commit {sitting.commit[:10]}"
        return ""

    return {key: reason(key, run) for key, run in finished.items()}


def _text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def _announced(claim: PlannedClaim, plan: Plan, then: Plan) -> bool:
    labels = (claim.better, claim.worse)
    curves = [[curve for curve in one.curves if curve.label in labels] for one in (plan, then)]
    return claim.primary and claim in then.claims and curves[0] == curves[1]


def _baselines(finished: Mapping[str, Run], counted: Mapping[str, Record]) -> list[dict[str, Any]]:
    wanted = [finished[key] for key in counted if finished[key].kind == "train" and finished[key].judged_on == "test"]
    return [_entry(run.key, BASELINE, None, run.seed, counted[run.key]) for run in wanted]


def _curve(plan: Plan, label: str, counted: Mapping[str, Record]) -> list[dict[str, Any]]:
    curve = next(curve for curve in plan.curves if curve.label == label)
    whole = relus(plan.block(curve.block).reference)
    return [
        {**_entry(key, label, budget / whole, seed, counted[key]), "budget": budget, "source": curve.network}
        for seed, budget, key in cells(plan, curve)
        if key in counted
    ]


def _entry(key: str, label: str, fraction: float | None, seed: int, record: Record) -> dict[str, Any]:
    figures = {name: value for name, value in (record.result or {}).items() if name != "seconds"}
    about = {"run": key, "label": label, "fraction": fraction, "seed": seed, **figures}
    return about | {"core_seconds": round(record.core_seconds), "sittings": len(record.sittings)}


def _trial(run: Run, record: Record) -> dict[str, Any]:
    result = record.result or {}
    found = (
        {"tuning_accuracy": result["test_accuracy"]} if "test_accuracy" in result else {"error": result.get("error")}
    )
    about = {"run": run.key, "label": run.label, "recipe": dict(run.recipe), "options": dict(run.options)}
    return about | found | {"core_seconds": round(record.core_seconds)}


def _measures(plan: Plan, counted: Mapping[str, Record], value: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for curve in (curve for curve in plan.curves if curve.measure):
        for seed in curve.seeds or plan.block(curve.block).seeds:
            record = counted.get(f"seed{seed}/{curve.label}")
            if record is not None:
                found.setdefault(curve.label, {})[str(seed)] = value(record.result)
    return found


def _unique(machines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [json.loads(text) for text in dict.fromkeys(json.dumps(machine, sort_keys=True) for machine in machines)]
