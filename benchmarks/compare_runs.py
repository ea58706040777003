"""Do two runs of the questions agree? Every ratio that both state: do its 95 % intervals overlap?

    python benchmarks/compare_runs.py benchmarks/results/quick OTHER_FOLDER

Times differ between machines and days; ratios of times of one run should not. Exit code 1 if an interval of one run
does not meet the other's. A ratio that one run alone could state is counted, but is no disagreement.
"""

from dataclasses import dataclass, field
from pathlib import Path

import click
from measuring.question import Answer, QuestionReport

from pi_system.cli.errors import PiCommand
from pi_system.errors import InputError


@dataclass(slots=True)
class Agreement:
    """What two reports of one question say: ratios that agree, that differ, and names that only one of them has."""

    agree: list[tuple[Answer, Answer]] = field(default_factory=list)
    differ: list[tuple[Answer, Answer]] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)


def compare_reports(a: QuestionReport, b: QuestionReport) -> Agreement:
    """Compare the ratios of two reports. Raises InputError: they are of different questions or modes."""
    if (a.question, a.mode) != (b.question, b.mode):
        raise InputError(f"expected two runs of {a.question} {a.mode}, found {b.question} {b.mode}")
    found = Agreement()
    for name in dict.fromkeys(answer.name for report in (a, b) for answer in report.answers if answer.ratio):
        first, second = a.answer(name), b.answer(name)
        if first is None or second is None:
            found.alone.append(name)
        elif first.low <= second.high and second.low <= first.high:
            found.agree.append((first, second))
        else:
            found.differ.append((first, second))
    return found


def _shown(answer: Answer) -> str:
    return f"{answer.value:.4g} ({answer.low:.4g} to {answer.high:.4g})"


@click.command(cls=PiCommand)
@click.argument("folder_a", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("folder_b", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.pass_context
def main(context: click.Context, folder_a: Path, folder_b: Path) -> None:
    """Compare the ratios of all questions that both folders have."""
    context.exit(1 if compare_folders(folder_a, folder_b) else 0)


def compare_folders(folder_a: Path, folder_b: Path) -> int:
    """Print every disagreement and a line a question; returns how many ratios differ.

    Raises:
        InputError: a file is no report, or no question is in both folders.
    """
    names = sorted({file.name for file in folder_a.glob("q*.json")} & {file.name for file in folder_b.glob("q*.json")})
    if not names:
        raise InputError(f"expected a qNN.json that {folder_a} and {folder_b} both have, found none")
    differing = 0
    for name in names:
        found = compare_reports(QuestionReport.read(folder_a / name), QuestionReport.read(folder_b / name))
        for a, b in found.differ:
            click.echo(f"{name[:3]} differs: {a.name}: {_shown(a)} and {_shown(b)}")
        total, alone = len(found.agree) + len(found.differ), f", {len(found.alone)} in one only" if found.alone else ""
        click.echo(f"{name[:3]}: {len(found.agree)} of {total} ratios agree{alone}")
        differing += len(found.differ)
    return differing


if __name__ == "__main__":
    main()
