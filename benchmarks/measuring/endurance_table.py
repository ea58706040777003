"""The table of the endurance runs in docs/reference/results.md: their claims, what was found, and on what."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from measuring.documents import filled, markdown

MARK: Final = "endurance"
_RUNS: Final = {
    "crowd": "{many} clients for {lasted:g} s, {few} before and after: {served:.2f} and {fewer:.2f} answers a second",
    "kills": "{clients} clients for {active_s:,d} s, {kills:,d} workers killed: {states}; {lost_by_kills} lost by "
    "kills, {lost_by_stops} while processes were stopped",
    "frames": "{frames:,d} mutated frames in {streams:,d} streams of {backends} in {active_s:,d} s",
    "stop": "{clients} clients for {load_s:g} s, then SIGTERM, {count} times",
}


def table(folder: Path) -> str:
    """What the kept JSON in ``folder`` says, in Markdown; a run without JSON is "not run"."""
    rows, notes = [], []
    for name, template in _RUNS.items():
        path = folder / f"{name}.json"
        if not path.exists():
            notes.append(f"`{name}`: not run.")
            continue
        report = json.loads(path.read_text())
        rows += [{"run": f"`{name}`", **claim, "found": _words(claim["found"])} for claim in report["claims"]]
        about = report["environment"]
        where = f"{about['date'][:10]}, commit `{about['git_sha']}`, {about['usable_cores']} cores"
        notes.append(f"`{name}`: {filled(template, _facts(report))}; {where}.")
    return "\n".join([markdown(rows, "run|claim|found|verdict"), "", *notes])


def _facts(report: Mapping[str, Any]) -> dict[str, Any]:
    facts = {**report, **{name: _words(report[name]) for name in ("states", "backends") if name in report}}
    if report["question"] == "stop":
        facts["count"] = len(report["rounds"])
    if report["question"] == "crowd":
        few, many = sorted(report["samples"], key=lambda sample: sample["clients"])[:: len(report["samples"]) - 1]
        rates = {"served": many["answers_per_s"], "fewer": few["answers_per_s"]}
        facts |= {"many": many["clients"], "few": few["clients"], "lasted": many["duration_s"], **rates}
    return facts


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count:,d} {name}" for name, count in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
