"""The page: one HTML file with everything inside, which asks for nothing.

Its Content-Security-Policy forbids every request; styles are inline, pictures are data URIs, there is no script. Text
from files is escaped by the template, prose from Markdown with everything but emphasis and code switched off.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from measuring.validation import Validation
from report.decision import decision
from report.drawings import Drawing
from report.findings import Finding
from report.sources import QuestionResult, Sources
from report.stored import study
from report.supplements import supplements
from report.tables import Provenance, Table, answers_table, cost_table, provenance, study_table

LIMIT_BYTES: Final = 4_000_000
"""Small enough to be sent by mail."""
_HERE: Final = Path(__file__).resolve().parent
_ALWAYS: Final = (
    "Networks between two machines: links are shaped inside the channel, and checked against emulated ones.",
    "GPUs in the secure runtime.",
    "Malicious parties: the protocols are for semi-honest ones.",
)
_FIELDS: Final = {"study": "runs", "cost_model": "points"}
"""By key of a section without a question: the field that its files hold."""
_COMMANDS: Final = {
    "study": "python benchmarks/study.py run --plan benchmarks/study/budgets.toml --data cifar100:DIR --out study",
    "cost_model": "python benchmarks/calibrate.py validate",
}
"""That make such files."""
Drawings = Mapping[str, tuple[Drawing, ...]]


def page(sources: Sources, sections: tuple[Finding, ...], drawings: Drawings) -> str:
    """The HTML text; ``drawings`` are plots by key of a section or a supplement."""
    jinja = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    questions = {question.key: question for question in sources.questions}
    text = jinja.get_template("page.html.j2").render(
        style=Markup((_HERE / "templates" / "style.css").read_text()),
        sections=[_section(sources, finding, questions.get(finding.key), drawings) for finding in sections],
        supplements=[part._asdict() | {"drawings": drawings.get(part.key, ())} for part in supplements(sources)],
        literature=json.loads((_HERE / "literature.json").read_text()),
        gaps=_gaps(sections),
        decision=decision() | {"drawings": drawings.get("decision", ())},
    )
    return "\n".join(line for line in text.splitlines() if line.strip()) + "\n"


def _section(sources: Sources, finding: Finding, question: QuestionResult | None, drawings: Drawings) -> dict[str, Any]:
    """What the template shows of one question; its prose has no HTML, links or pictures of its own."""
    tables, origins, badge = _evidence(sources, finding, question)
    parser = MarkdownIt("zero").enable(["emphasis", "backticks", "escape", "list"])
    return {
        "key": finding.key,
        "title": finding.title,
        "measured": finding.measured,
        "badge": badge,
        "answer": Markup(parser.render(finding.markdown)),
        "drawings": drawings.get(finding.key, ()),
        "tables": tables,
        "provenances": origins,
    }


def _evidence(
    sources: Sources, finding: Finding, question: QuestionResult | None
) -> tuple[list[Table], list[Provenance], str]:
    """Tables, where they are from, and that in one line; all empty where nothing was measured."""
    if question is not None and (report := question.report) is not None:
        about = provenance(str(question.file), report.command, report.environment.model_dump(), report.samples)
        badge = f"{report.mode.capitalize()} run of {report.environment.date[:10]}, {about.samples}."
        return [answers_table(report.answers)], [about], badge
    if not finding.measured:
        return [], [], ""
    origins = []
    for file, content in sources.holding(finding.key, _FIELDS[finding.key]):
        samples = content.get("samples") or content[_FIELDS[finding.key]]
        origins.append(provenance(file, _COMMANDS[finding.key], content.get("environment", {}), samples))
    if finding.key == "study":
        found = study(sources)
        return [study_table(found)] if found else [], origins, ""
    return [cost_table(Validation.read(sources.files("cost_model", "points")[-1]).points)], origins, ""


def _gaps(sections: tuple[Finding, ...]) -> tuple[str, ...]:
    """What a reader may look for in vain."""
    missing = [f"{finding.title} There is no measurement of it yet." for finding in sections if not finding.measured]
    partly = [
        f"{finding.title} This run has no {', '.join(finding.unanswered)}."
        for finding in sections
        if finding.measured and finding.unanswered
    ]
    return (*missing, *partly, *_ALWAYS)
