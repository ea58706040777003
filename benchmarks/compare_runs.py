"""Do two runs of the questions agree? Every ratio that both state: do its 95 % intervals overlap?

    python benchmarks/compare_runs.py benchmarks/results/quick OTHER_FOLDER

Times differ between machines and days; ratios of times of one run should not. Exit code 1 if an interval of one run
does not meet the other's. A ratio that one run alone could state is counted, but is no disagreement.
"""

from pathlib import Path

import click
from measuring.question import QuestionReport

from pi_system.cli.errors import PiCommand
from pi_system.errors import InputError


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


@click.command(cls=PiCommand)
@click.argument("folder_a", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("folder_b", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.pass_context
def main(context: click.Context, folder_a: Path, folder_b: Path) -> None:
    """Compare the ratios of all questions that both folders have."""
    names = sorted({file.name for file in folder_a.glob("q*.json")} & {file.name for file in folder_b.glob("q*.json")})
    if not names:
        raise InputError(f"expected a qNN.json that {folder_a} and {folder_b} both have, found none")
    differing = 0
    for name in names:
        runs = [QuestionReport.read(folder / name) for folder in (folder_a, folder_b)]
        found = compare_reports(*runs)
        differ = [f"{ratio}: {words}" for ratio, words in found.items() if words]
        for words in differ:
            click.echo(f"{name[:3]} differs: {words}")
        alone = len({answer.name for run in runs for answer in run.answers if answer.ratio} - found.keys())
        more = f", {alone} in one only" if alone else ""
        click.echo(f"{name[:3]}: {len(found) - len(differ)} of {len(found)} ratios agree{more}")
        differing += len(differ)
    context.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
