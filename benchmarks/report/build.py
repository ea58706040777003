"""Builds the report, one self-contained HTML page, and docs/findings.md from the JSON of benchmarks/results.

    python benchmarks/report/build.py --out report/index.html

Plots are drawn by each question's own ``plot`` command. A question without a file is reported as not measured; a full
run is preferred to a quick one. Sentences that lack an answer are named on stderr. ``--keep`` writes docs/report.html,
too, the copy under version control, of at most 4 MB.
"""

import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import click  # noqa: E402
from report.drawings import Drawing, draw  # noqa: E402
from report.findings import document, findings  # noqa: E402
from report.page import LIMIT_BYTES, page  # noqa: E402
from report.sources import Sources, load_sources  # noqa: E402

from pi_system.cli.errors import PiGroup  # noqa: E402
from pi_system.errors import ConfigError  # noqa: E402

BENCHMARKS = ROOT / "benchmarks"


def drawings(sources: Sources) -> dict[str, tuple[Drawing, ...]]:
    """Plots of everything that has a file and a script, by key."""
    jobs = dict(_jobs(sources))
    with ThreadPoolExecutor(2) as pool:  # a process each; the machine of record has two cores
        return dict(zip(jobs, pool.map(lambda job: job(), jobs.values()), strict=True))


def _jobs(sources: Sources) -> Iterator[tuple[str, Callable[[], tuple[Drawing, ...]]]]:
    """Key and what draws it."""
    for question in sources.questions:
        if question.report is None:
            continue
        named = re.search(rf"benchmarks/({question.key}_\w+\.py)", question.report.command)
        if named and (BENCHMARKS / named[1]).is_file():
            yield question.key, partial(draw, BENCHMARKS / named[1], ("plot",), [sources.results / str(question.file)])
    latency = _files(sources, "latency", "results")
    if latency:
        yield "latency", partial(draw, BENCHMARKS / "plot_latency.py", (), latency, "latency.svg")
    for file in _files(sources, "cost_model", "points")[-1:]:
        yield "cost_model", partial(draw, BENCHMARKS / "validate_cost_model.py", ("plot",), [file])
    study = _files(sources, "study", "runs")
    if study:
        costs = [option for file in _files(sources, "study", "results") for option in ("--costs", str(file.resolve()))]
        yield "study", partial(draw, BENCHMARKS / "plot_study.py", costs, study)


def _files(sources: Sources, folder: str, field: str) -> list[Path]:
    """Files of a folder that hold something in ``field``."""
    return [sources.results / stored.file for stored in sources.holding(folder, field)]


@click.group(cls=PiGroup, invoke_without_command=True, context_settings={"show_default": True})
@click.option(
    "--results", type=click.Path(exists=True, file_okay=False, path_type=Path), default=BENCHMARKS / "results"
)
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "report" / "index.html", help="The page.")
@click.option("--findings-out", type=click.Path(path_type=Path), default=ROOT / "docs" / "findings.md")
@click.option("--plots/--no-plots", default=True, help="Draw the plots.")
@click.option("--keep", is_flag=True, help="Write docs/report.html, too.")
def main(results: Path, out: Path, findings_out: Path, plots: bool, keep: bool) -> None:
    """Build the report."""
    sources = load_sources(results)
    sections = findings(sources)
    for finding in sections:
        for name in finding.unanswered:
            click.echo(f"{finding.key}: a sentence needs {name}", err=True)
    html = page(sources, sections, drawings(sources) if plots else {})
    targets = {out: html, findings_out: document(sections)}
    if keep:
        if len(html.encode()) > LIMIT_BYTES:
            raise ConfigError(f"report: expected at most {LIMIT_BYTES:,} bytes to keep, found {len(html.encode()):,}")
        targets[ROOT / "docs" / "report.html"] = html
    for path, text in targets.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        click.echo(f"{path}: {len(text.encode()):,} bytes")


if __name__ == "__main__":
    main()
