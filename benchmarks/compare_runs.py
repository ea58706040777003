"""Do two runs agree? What did a change cost? Runs of the questions, or of latency.py at two commits, side by side.

    python benchmarks/compare_runs.py benchmarks/results/quick OTHER_FOLDER
    python benchmarks/compare_runs.py benchmarks/results/truncation

Two folders of questions: every ratio that both state: do its 95 % intervals overlap? Times differ between machines and
days; ratios of times of one run should not. Exit code 1 if an interval of one run does not meet the other's. A ratio
that one run alone could state is counted, but is no disagreement.

One folder holds ``before-1.json``, ``after-1.json``, ``before-2.json``, ...: each pair is one round of latency.py at
two commits, measured one right after the other on the same machine with the same options; a round may leave out
networks. A ratio is the median over rounds of after / before, each of a round's medians; beside it the lowest and the
highest round. Bytes are counted, not sampled. "At most 5 % slower" is supported if every round is, contradicted if none
is, else undecided.
"""

import json
from pathlib import Path
from statistics import median
from typing import Any, Final

import click
from measuring.documents import markdown
from measuring.question import QuestionReport

from pi_system.cli.errors import PiCommand
from pi_system.errors import InputError

GOAL: Final = 1.05
COLUMNS: Final = (
    "network|ReLUs=relus:,|link|backend=`{backend}`|rounds|"
    "online, after over before (lowest, highest)={ratio:.2f} ({least:.2f}, {most:.2f})|at most 5 % slower=verdict|"
    "bytes a ReLU before=bytes_before:.2f|after=bytes_after:.2f|ratio=bytes_ratio:.3f"
)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
Report = dict[str, Any]


def compare_reports(a: QuestionReport, b: QuestionReport) -> dict[str, str]:
    """Every ratio that both state: empty if the intervals meet, else both in words.

    Raises InputError: they are of different questions or modes.
    """
    if (a.question, a.mode) != (b.question, b.mode):
        raise InputError(f"expected two runs of {a.question} {a.mode}, found {b.question} {b.mode}")
    found = {}
    for first in a.answers:
        if first.ratio and (second := b.answer(first.name)) is not None:
            meet = first.low <= second.high and second.low <= first.high
            shown = (f"{one.value:.4g} ({one.low:.4g} to {one.high:.4g})" for one in (first, second))
            found[first.name] = "" if meet else " and ".join(shown)
    return found


def questions(folders: tuple[Path, Path]) -> bool:
    """Print, for all questions that both folders have, whether their ratios agree. Raises InputError: none."""
    one, other = ({file.name for file in folder.glob("q*.json")} for folder in folders)
    if not one & other:
        raise InputError(f"expected a qNN.json that {folders[0]} and {folders[1]} both have, found none")
    agree = True
    for name in sorted(one & other):
        runs = [QuestionReport.read(folder / name) for folder in folders]
        found = compare_reports(*runs)
        differ = [f"{ratio}: {words}" for ratio, words in found.items() if words]
        for words in differ:
            click.echo(f"{name[:3]} differs: {words}")
        alone = len({answer.name for run in runs for answer in run.answers if answer.ratio} - found.keys())
        more = f", {alone} in one only" if alone else ""
        click.echo(f"{name[:3]}: {len(found) - len(differ)} of {len(found)} ratios agree{more}")
        agree &= not differ
    return agree


def commits(folder: Path) -> str:
    """Rounds at two commits as Markdown, a line for each network, backend and link.

    Raises InputError unless there is a round and each has both halves.
    """
    names = sorted(path.name for path in folder.glob("before-*.json"))
    sides = [[folder / name.replace("before", side) for name in names] for side in ("before", "after")]
    if not names or not all(path.exists() for path in sides[1]):
        raise InputError(f"{folder}: expected before-N.json and after-N.json, one of each a round")
    reports = [[json.loads(path.read_text()) for path in side] for side in sides]
    before, after = (side[0]["environment"] for side in reports)
    repeats = [report["repeat"] for report in reports[0]]
    found = [report["environment"] for side in reports for report in side]
    loads, dirty = [about["load_before"][0] for about in found], sum(about["git_dirty"] for about in found)
    head = (
        f"Commits `{before['git_sha']}` and `{after['git_sha']}`, rounds of {min(repeats)} to {max(repeats)} "
        f"inferences, {after['date'][:10]}. Load average at the start of a run: {min(loads):.1f} to {max(loads):.1f}, "
        f"that of the run before it included. {dirty} of {len(found)} runs had uncommitted files in their tree."
    )
    old, new = ([_by_key(report) for report in side] for side in reports)
    rows = [_row(key, *([run[key] for run in side if key in run] for side in (old, new))) for key in old[0]]
    return f"{head}\n\n{markdown(rows, COLUMNS)}"


def _by_key(report: Report) -> dict[tuple[str, int, str, str], Report]:
    """Results by network, ReLUs, link, backend."""
    relus = {n["network"]: n["relus"] for n in report["networks"]}
    return {(r["network"], relus[r["network"]], r["link"], r["backend"]): r for r in report["results"]}


def _row(key: tuple[str, int, str, str], old: list[Report], new: list[Report]) -> Report:
    """Of the rounds that have this combination."""
    ms = [[run["online_ms"]["median"] for run in runs] for runs in (old, new)]
    ratios = [after / before for before, after in zip(*ms, strict=True)]
    nbytes = [runs[0]["bytes_per_relu"] for runs in (old, new)]
    verdict = "contradicted" if min(ratios) > GOAL else "supported" if max(ratios) <= GOAL else "undecided"
    return {
        **dict(zip(("network", "relus", "link", "backend"), key, strict=True)),
        **{"rounds": len(old), "verdict": verdict},
        **{"ratio": median(ratios), "least": min(ratios), "most": max(ratios)},
        **{"bytes_before": nbytes[0], "bytes_after": nbytes[1], "bytes_ratio": nbytes[1] / nbytes[0]},
    }


@click.command(cls=PiCommand)
@click.argument("folder", type=FOLDER)
@click.argument("other", type=FOLDER, required=False)
@click.pass_context
def main(context: click.Context, folder: Path, other: Path | None) -> None:
    """Compare runs of the questions in two folders, or rounds at two commits in one."""
    if other is None:
        click.echo(commits(folder))
    elif not questions((folder, other)):
        context.exit(1)


if __name__ == "__main__":
    main()
