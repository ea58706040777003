"""What did a change cost online? Runs of benchmarks/latency.py at two commits, taken alternately, side by side.

    python benchmarks/before_after.py benchmarks/results/truncation

The folder holds ``before-1.json``, ``after-1.json``, ``before-2.json``, ...: each pair is one round, measured one right
after the other on the same machine with the same options; a round may leave out networks. A ratio is the median over
rounds of after / before, each of a round's medians; beside it the lowest and the highest round. Bytes are counted, not
sampled. "At most 5 % slower" is supported if every round is, contradicted if none is, else undecided.

Writes the table into docs/results.md, between its marks, and prints it.
"""

import json
from pathlib import Path
from statistics import median
from typing import Any, Final

import click
from measuring import ROOT
from measuring.documents import between_marks, markdown

from pi_system.cli.errors import PiCommand
from pi_system.errors import InputError

DOCUMENT: Final = ROOT / "docs" / "results.md"
GOAL: Final = 1.05
BEGIN, END = "<!-- benchmarks/before_after.py: begin -->", "<!-- end -->"
COLUMNS: Final = (
    "network|ReLUs=relus:,|link|backend=`{backend}`|rounds|online ms before=before:.1f|after=after:.1f|"
    "ratio (lowest, highest round)={ratio:.2f} ({least:.2f}, {most:.2f})|at most 5 % slower=verdict|"
    "bytes a ReLU before=bytes_before:.2f|after=bytes_after:.2f|ratio=bytes_ratio:.3f"
)
Key = tuple[str, int, str, str]
Report = dict[str, Any]


def rounds(folder: Path) -> list[tuple[Report, Report]]:
    """The pairs of reports in ``folder``. Raises InputError unless there is one and each has its other half."""
    before = sorted(folder.glob("before-*.json"))
    after = [path.with_name(path.name.replace("before", "after")) for path in before]
    if not before or not all(path.exists() for path in after):
        raise InputError(f"{folder}: expected before-N.json and after-N.json, one of each a round")
    return [(json.loads(b.read_text()), json.loads(a.read_text())) for b, a in zip(before, after, strict=True)]


def table(pairs: list[tuple[Report, Report]]) -> str:
    """The comparison as Markdown, a line for each network, backend and link."""
    sides = [[_by_key(report) for report in pair] for pair in pairs]
    before, after = (report["environment"] for report in pairs[0])
    repeats = [b["repeat"] for b, _ in pairs]
    found = [report["environment"] for pair in pairs for report in pair]
    loads, dirty = [about["load_before"][0] for about in found], sum(about["git_dirty"] for about in found)
    lines = [
        f"Commits `{before['git_sha']}` and `{after['git_sha']}`, rounds of {min(repeats)} to {max(repeats)} "
        f"inferences, {after['date'][:10]}. Load average at the start of a run: {min(loads):.1f} to {max(loads):.1f}, "
        f"that of the run before it included. {dirty} of {len(found)} runs had uncommitted files in their tree.",
        "",
    ]
    rows = []
    for key in sides[0][0]:
        name, relus, link, backend = key
        old, new = ([side[i][key] for side in sides if key in side[0]] for i in (0, 1))
        ms = [[row["online_ms"]["median"] for row in runs] for runs in (old, new)]
        ratios = [a / b for b, a in zip(*ms, strict=True)]
        nbytes = [runs[0]["bytes_per_relu"] for runs in (old, new)]
        verdict = "contradicted" if min(ratios) > GOAL else "supported" if max(ratios) <= GOAL else "undecided"
        rows.append(
            {"network": name, "relus": relus, "link": link, "backend": backend, "rounds": len(old), "verdict": verdict}
            | {"before": median(ms[0]), "after": median(ms[1])}
            | {"ratio": median(ratios), "least": min(ratios), "most": max(ratios)}
            | {"bytes_before": nbytes[0], "bytes_after": nbytes[1], "bytes_ratio": nbytes[1] / nbytes[0]}
        )
    return "\n".join([*lines, markdown(rows, COLUMNS)])


def _by_key(report: Report) -> dict[Key, Report]:
    """Rows by network, ReLUs, link, backend."""
    relus = {n["network"]: n["relus"] for n in report["networks"]}
    return {(r["network"], relus[r["network"]], r["link"], r["backend"]): r for r in report["results"]}


@click.command(cls=PiCommand)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(folder: Path) -> None:
    """Compare the runs of two commits."""
    text = table(rounds(folder))
    DOCUMENT.write_text(between_marks(DOCUMENT.read_text(), BEGIN, END, text))
    click.echo(text)


if __name__ == "__main__":
    main()
