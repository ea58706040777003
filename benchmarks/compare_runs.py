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


def compare_reports(a: QuestionReport, b: QuestionReport) -> tuple[list[str], list[str], list[str]]:
    """Ratios that agree, what differs in words, and names that only one of them has.

    Raises InputError: they are of different questions or modes.
    """
    if (a.question, a.mode) != (b.question, b.mode):
        raise InputError(f"expected two runs of {a.question} {a.mode}, found {b.question} {b.mode}")
    agree, differ, alone = list[str](), list[str](), list[str]()
    for name in dict.fromkeys(answer.name for report in (a, b) for answer in report.answers if answer.ratio):
        first, second = a.answer(name), b.answer(name)
        if first is None or second is None:
            alone.append(name)
        elif first.low <= second.high and second.low <= first.high:
            agree.append(name)
        else:
            shown = (f"{one.value:.4g} ({one.low:.4g} to {one.high:.4g})" for one in (first, second))
            differ.append(f"{name}: {' and '.join(shown)}")
    return agree, differ, alone


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
        agree, differ, alone = compare_reports(*(QuestionReport.read(each / name) for each in (folder_a, folder_b)))
        for what in differ:
            click.echo(f"{name[:3]} differs: {what}")
        more = f", {len(alone)} in one only" if alone else ""
        click.echo(f"{name[:3]}: {len(agree)} of {len(agree) + len(differ)} ratios agree{more}")
        differing += len(differ)
    context.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
