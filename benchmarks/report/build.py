"""Builds from the JSON of benchmarks/results: the report, one self-contained HTML page, its pictures, and documents.

    python benchmarks/report/build.py --out report/index.html

Pictures are drawn into docs/img, where documents find them, and embedded in the page; docs/explanation/findings.md is
written whole, of other documents the parts that parts.py makes. A question without a file is reported as not measured;
a full run is preferred to a quick one. Sentences that lack an answer are named on stderr.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click
from measuring import RESULTS, ROOT
from measuring.documents import PATH, between_marks
from report.drawings import inline
from report.findings import document, findings
from report.page import LIMIT_BYTES, page
from report.parts import PARTS
from report.pictures import draw
from report.sources import load_sources

from pi_system.cli.errors import PiGroup
from pi_system.errors import ConfigError


@click.group(cls=PiGroup, invoke_without_command=True, context_settings={"show_default": True})
@click.option("--results", type=click.Path(exists=True, file_okay=False, path_type=Path), default=RESULTS)
@click.option("--out", type=PATH, default=ROOT / "report" / "index.html", help="The page.")
@click.option("--docs", type=PATH, default=ROOT / "docs", help="Folder of the documents, their pictures in img.")
@click.option("--plots/--no-plots", default=True, help="Draw the pictures.")
def main(results: Path, out: Path, docs: Path, plots: bool) -> None:
    """Build the report and what documents have of it."""
    sources = load_sources(results)
    sections = findings(sources)
    for finding in sections:
        for name in finding.unanswered:
            click.echo(f"{finding.key}: a sentence needs {name}", err=True)
    drawn = draw(sources, docs / "img") if plots else {}
    drawings = {key: tuple(inline(path.stem, path.read_text()) for path in paths) for key, paths in drawn.items()}
    html = page(sources, sections, drawings)
    if len(html.encode()) > LIMIT_BYTES:
        raise ConfigError(f"report: expected at most {LIMIT_BYTES:,} bytes, found {len(html.encode()):,}")
    texts = {out: html, docs / "explanation" / "findings.md": document(sections)}
    for name, (file, make) in PARTS.items():
        if (path := docs / file).exists():
            texts[path] = between_marks(texts.get(path) or path.read_text(), name, make())
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        click.echo(f"{path}: {len(text.encode()):,} bytes")


if __name__ == "__main__":
    main()
