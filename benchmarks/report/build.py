"""Builds the report, one self-contained HTML page, and docs/findings.md from the JSON of benchmarks/results.

    python benchmarks/report/build.py --out report/index.html

Pictures are drawn into docs/img, where other documents find them, and embedded. A question without a file is reported
as not measured; a full run is preferred to a quick one. Sentences that lack an answer are named on stderr.
"""

import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click
from measuring import BENCHMARKS, RESULTS, ROOT
from measuring.documents import PATH
from report.drawings import Drawing, inline
from report.findings import document, findings
from report.page import LIMIT_BYTES, page
from report.sources import Sources, load_sources

from pi_system.cli.errors import PiGroup
from pi_system.errors import ConfigError


def drawings(sources: Sources, out: Path) -> dict[str, tuple[Drawing, ...]]:
    """Plots of everything that has a file, drawn into ``out`` and read from there, by key."""
    found: dict[str, list[Path]] = {}
    for question in sources.questions:
        script = next(BENCHMARKS.glob(f"{question.key}_*.py"), None)
        if question.report is not None and script is not None:
            found[question.key] = import_module(script.stem).QUESTION.draw(question.report, out)
    if latency := sources.files("latency", "results"):
        found["latency"] = import_module("plot_latency").draw(latency, out)
    for file in sources.files("cost_model", "points")[-1:]:
        found["cost_model"] = import_module("validate_cost_model").draw(file, out)
    if study := sources.files("study", "runs"):
        found["study"] = import_module("plot_study").draw(study, sources.files("study", "results"), out)
    return {key: tuple(inline(path.stem, path.read_text()) for path in paths) for key, paths in found.items()}


@click.group(cls=PiGroup, invoke_without_command=True, context_settings={"show_default": True})
@click.option("--results", type=click.Path(exists=True, file_okay=False, path_type=Path), default=RESULTS)
@click.option("--out", type=PATH, default=ROOT / "report" / "index.html", help="The page.")
@click.option("--findings-out", type=PATH, default=ROOT / "docs" / "findings.md")
@click.option("--img", type=PATH, default=ROOT / "docs" / "img", help="Folder of the pictures.")
@click.option("--plots/--no-plots", default=True, help="Draw the pictures.")
def main(results: Path, out: Path, findings_out: Path, img: Path, plots: bool) -> None:
    """Build the report."""
    sources = load_sources(results)
    sections = findings(sources)
    for finding in sections:
        for name in finding.unanswered:
            click.echo(f"{finding.key}: a sentence needs {name}", err=True)
    html = page(sources, sections, drawings(sources, img) if plots else {})
    if len(html.encode()) > LIMIT_BYTES:
        raise ConfigError(f"report: expected at most {LIMIT_BYTES:,} bytes, found {len(html.encode()):,}")
    for path, text in {out: html, findings_out: document(sections)}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        click.echo(f"{path}: {len(text.encode()):,} bytes")


if __name__ == "__main__":
    main()
