"""What results/known says, in Markdown: how exact, at what cost, when it was run, and papers' figures beside it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from measuring import BENCHMARKS, RESULTS, documents
from measuring.cnns import CNNS
from measuring.environment import Environment

KEPT: Final = RESULTS / "known"
LITERATURE: Final = BENCHMARKS / "report" / "literature.json"
_EXACT: Final = (
    "network|weights|ReLUs={relus:,d}|MACs, M={macs:/1e6,,.0f}|ring|error, % of spread={error:.2f}|labels={labels}"
)
_COSTS: Final = (
    "network|system=`{backend}`|link|online|MB={online_mb:n}|rounds|offline|MB={offline_mb:n}|both|MB={total_mb:n}|"
    "server GB={server:.1f}|client GB={client:.1f}|private error, %={error:.2f}|label"
)
_PAPERS: Final = "in papers, on their machines=what|figure=value|read={read}|source"
SPU_PROTOCOL: Final = "CHEETAH"
"""Of SPU's protocols the one for two parties without a dealer."""
Row = dict[str, Any]


def table() -> str:
    """Three tables, and between them what their rows rest on."""
    found = [network for path in sorted(KEPT.glob("*.json")) for network in _networks(path)]
    runs = [(network, run) for network in found for run in network["runs"]]
    parts = [
        documents.markdown(map(_exact, found), _EXACT),
        documents.markdown((_costs(*each) for each in runs if "failed" not in each[1]), _COSTS),
        f"One core a party; logits are revealed. {_origins(runs)}.",
        *(f"`{run['backend']}` on {network['network']}: {run['failed']}." for network, run in runs if "failed" in run),
    ]
    parts += _against(found)
    if missing := [name for name in CNNS if name not in {network["network"].partition("-")[0] for network in found}]:
        parts.append(f"Not run: {', '.join(missing)}.")
    papers = [row for row in json.loads(LITERATURE.read_text()) if row.get("about") == "known"]
    marked = ({**row, "read": "read" if row["verified"] else "not verified"} for row in papers)
    return "\n\n".join([*parts, documents.markdown(marked, _PAPERS)])


def _against(found: list[Row]) -> Iterator[str]:
    """SPU over ours where both ran alone on the machine, and where SPU did not run."""
    ratios, without = [], []
    for network in found:
        runs = {run["backend"]: run for run in network["runs"] if run["link"] == "loopback" and _quotable(run)}
        ours, theirs = runs.get("gmw"), runs.get(f"spu:{SPU_PROTOCOL}", {})
        if ours is None or "total_ms" not in theirs:
            without += [] if "failed" in theirs else [network["network"]]
            continue
        (our_ms, our_bytes), their_bytes = _both(ours), theirs["total_bytes"]
        times = f"{documents.number(theirs['total_ms'] / our_ms)} times the time"
        ratios.append(f"{network['network']} {times} and {documents.number(their_bytes / our_bytes)} times the bytes")
    if ratios:
        yield (
            f"Both phases of `spu:{SPU_PROTOCOL}` over those of `gmw`, one inference each over loopback, not in one "
            f"run: {'; '.join(ratios)}." + (f" SPU was not run on {', '.join(without)}." if without else "")
        )


def _both(run: Row) -> tuple[float, int]:
    """Milliseconds and bytes of both phases."""
    return run["online_ms"] + run["offline_ms"], run["online_bytes"] + run["offline_bytes"]


def _networks(path: Path) -> Iterator[Row]:
    """Of a file, each run with its environment: files older than links have one of all."""
    report = json.loads(path.read_text())
    for network in report["networks"]:
        runs = [{"link": "loopback", "environment": report["environment"], **run} for run in network["runs"]]
        yield {**network, "runs": runs}


def _exact(network: Row) -> Row:
    stated, weights = network["stated"], network.get("weights")
    return {
        **{name: network[name] for name in ("network", "relus", "macs")},
        "weights": weights["file"] if weights else "random",
        "ring": network["ring_bits"],
        "error": 100 * stated["error"],
        "labels": f"{round(stated['agreement'] * stated['pictures'])} of {stated['pictures']}",
    }


def _costs(network: Row, run: Row) -> Row:
    unit_ms = next((one["online_ms"] for one in network["runs"] if "online_ms" in one), None)
    quotable, total_ms, total = _quotable(run), run.get("total_ms"), run.get("total_bytes")
    if "online_ms" in run:
        total_ms, total = _both(run)
    return {
        "network": network["network"],
        **{name: run.get(name) for name in ("backend", "link", "rounds")},
        **{f"{name}_mb": _scaled(run.get(f"{name}_bytes"), 1e6) for name in ("online", "offline")},
        **{name: _time(run.get(f"{name}_ms"), unit_ms, quotable) for name in ("online", "offline")},
        "both": _time(total_ms, unit_ms, quotable),
        "total_mb": _scaled(total, 1e6),
        **{party: run["peak_memory_bytes"][party] / 1e9 for party in ("server", "client")},
        "error": 100 * run["error"],
        "label": "torch's" if run["labels"] == 1 else "another",
    }


def _scaled(amount: float | None, unit: float) -> float | None:
    return None if amount is None else amount / unit


def _time(ms: float | None, unit_ms: float | None, quotable: bool) -> str | None:
    if ms is None or not (quotable or unit_ms):
        return None
    return f"{documents.number(ms / 1000)} s" if quotable or not unit_ms else f"{documents.number(ms / unit_ms)} x"


def _quotable(run: Row) -> bool:
    return Environment.model_validate(run["environment"]).quotable


def _origins(runs: list[tuple[Row, Row]]) -> str:
    """When what was run; times are multiples where something else ran, too."""
    found: dict[str, list[str]] = {}
    for network, run in runs:
        about = run["environment"]
        beside = "beside other work" if about["others_during"] else "alone on the machine"
        which = f"{about['date'][:10]}, commit `{about['git_sha']}`, {beside}"
        found.setdefault(which, []).append(f"{network['network']} `{run['backend']}` {run['link']}")
    listed = "; ".join(f"{which}: {', '.join(of)}" for which, of in found.items())
    if all(_quotable(run) for _, run in runs):
        return listed
    return f"Seconds where nothing else ran; else x, multiples of that network's first online time here. {listed}"
