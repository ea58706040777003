"""The page: one HTML file with everything inside, which asks for nothing.

Its Content-Security-Policy forbids every request; styles are inline, pictures are data URIs, there is no script. Text
from files is escaped by the template, prose from Markdown with everything but emphasis and code switched off.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from measuring.validation import load_validation
from report.drawings import Drawing
from report.findings import Finding
from report.sources import Question, Sources
from report.stored import study
from report.supplements import Supplement, supplements
from report.tables import Provenance, Table, answers_table, cost_table, provenance, study_table

LIMIT_BYTES: Final = 4_000_000
"""Small enough to be sent by mail."""
_HERE: Final = Path(__file__).resolve().parent
_ALWAYS: Final = (
    "Networks between two machines: links are shaped inside the channel, and checked against emulated ones.",
    "GPUs in the secure runtime.",
    "Malicious parties: the protocols are for semi-honest ones.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """What the template shows of one question."""

    key: str
    title: str
    measured: bool
    badge: str
    answer: Markup
    drawings: tuple[Drawing, ...]
    tables: tuple[Table, ...]
    provenances: tuple[Provenance, ...]


def page(sources: Sources, sections: tuple[Finding, ...], drawings: Mapping[str, tuple[Drawing, ...]]) -> str:
    """The HTML text.

    Args:
        sources: every measurement.
        sections: findings in prose, in order.
        drawings: plots by key of a section or a supplement.
    """
    jinja = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    questions = {question.key: question for question in sources.questions}
    shown = tuple(_section(sources, finding, questions.get(finding.key), drawings) for finding in sections)
    text = jinja.get_template("page.html.j2").render(
        style=Markup((_HERE / "templates" / "style.css").read_text()),
        sections=shown,
        supplements=tuple(_with_drawings(part, drawings) for part in supplements(sources)),
        literature=json.loads((_HERE / "literature.json").read_text()),
        gaps=_gaps(sections),
    )
    return "\n".join(line for line in text.splitlines() if line.strip()) + "\n"


def _section(
    sources: Sources, finding: Finding, question: Question | None, drawings: Mapping[str, tuple[Drawing, ...]]
) -> _Section:
    tables, origin, badge = _evidence(sources, finding, question)
    return _Section(
        key=finding.key,
        title=finding.title,
        measured=finding.measured,
        badge=badge,
        answer=_prose(finding.markdown),
        drawings=drawings.get(finding.key, ()),
        tables=tables,
        provenances=origin,
    )


def _evidence(
    sources: Sources, finding: Finding, question: Question | None
) -> tuple[tuple[Table, ...], tuple[Provenance, ...], str]:
    """Tables, where they are from, and that in one line; all empty where nothing was measured."""
    if question is not None and question.report is not None:
        report = question.report
        about = provenance(str(question.file), report.command, report.environment.model_dump(), report.samples)
        badge = f"{report.mode.capitalize()} run of {report.environment.date[:10]}, {about.samples}."
        return (answers_table(question),), (about,), badge
    if not finding.measured:
        return (), (), ""
    field, table, command = _STORED[finding.key]
    files = sources.holding(finding.key, field)
    origins = tuple(
        provenance(
            stored.file,
            command(stored.content),
            stored.content.get("environment", {}),
            stored.content.get("samples") or stored.content[field],
        )
        for stored in files
    )
    return (table(sources),), origins, ""


def _study_table(sources: Sources) -> Table:
    found = study(sources)
    return study_table(found) if found else Table(caption="", head=(), rows=())


def _cost_table(sources: Sources) -> Table:
    last = sources.holding("cost_model", "points")[-1]
    return cost_table(load_validation(sources.results / last.file).points)


def _study_command(content: Mapping[str, Any]) -> str:
    """The command as the recipe gives it; where the data was is of no use elsewhere."""
    config, workers = content["config"], content["environment"].get("workers", 1)
    recipe = f"--baseline-epochs {config['baseline']['epochs']} --epochs {config['reduction']['epochs']}"
    return (
        f"python benchmarks/study_relu_budgets.py --data {config['data']['name']}:DIR --out study "
        f"--network {config['networks'][0]} {recipe} --seeds {len(config['seeds'])} --workers {workers}"
    )


_STORED: Final[Mapping[str, tuple[str, Callable[[Sources], Table], Callable[[Mapping[str, Any]], str]]]] = {
    "study": ("runs", _study_table, _study_command),
    "cost_model": ("points", _cost_table, lambda content: "python benchmarks/validate_cost_model.py run"),
}
"""By key of a section without a question: the field its files hold, its table, and the command that makes a file."""


def _with_drawings(part: Supplement, drawings: Mapping[str, tuple[Drawing, ...]]) -> dict[str, Any]:
    """What the template shows of a supplement."""
    shown = {name: getattr(part, name) for name in ("key", "title", "text", "tables", "provenances")}
    return shown | {"drawings": drawings.get(part.key, ())}


def _prose(markdown: str) -> Markup:
    """Paragraphs, emphasis and code; no HTML, links or pictures of the text's own."""
    parser = MarkdownIt("zero").enable(["emphasis", "backticks", "escape", "list"])
    return Markup(parser.render(markdown))


def _gaps(sections: tuple[Finding, ...]) -> tuple[str, ...]:
    """What a reader may look for in vain."""
    missing = [f"{finding.title} There is no measurement of it yet." for finding in sections if not finding.measured]
    partly = [
        f"{finding.title} This run has no {', '.join(finding.unanswered)}."
        for finding in sections
        if finding.measured and finding.unanswered
    ]
    return (*missing, *partly, *_ALWAYS)
