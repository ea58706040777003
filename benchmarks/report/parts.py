"""Parts of documents that the JSON of benchmarks/results makes, each between two marks of its document."""

import json
from collections.abc import Iterable

import choices
import compare_runs
import cores
import longer_runs
import repetition
import together
from measuring import RESULTS, known_table
from measuring.study_claims import FIRST
from measuring.study_tables import claims_markdown, costs_markdown, load_study, needed_markdown, results_markdown
from report import answers, builtins, eight_bits, measured, methods, study_pictures


def study() -> str:
    """The first accuracy study: curves, claims, online costs, equal accuracy."""
    found, costs = load_study(FIRST), json.loads((RESULTS / "study" / "costs.json").read_text())
    measured = [entry for entry in costs["results"] if "error" not in entry]
    return "\n\n".join(
        [
            results_markdown(found),
            _shown(f"relus-{group}" for group in study_pictures.GROUPS),
            "### Claims",
            claims_markdown(found),
            "### What these networks cost online",
            _shown(
                [*(f"ms-{e['backend']}-{e['link']}" for e in measured), *(f"bytes-{e['backend']}" for e in measured)]
            ),
            costs_markdown(found, costs),
            "### At equal accuracy",
            needed_markdown(found, costs),
        ]
    )


def _shown(names: Iterable[str]) -> str:
    """Pictures of ``study_pictures``, each once."""
    return "\n".join(
        f"![accuracy against {name.replace('-', ', ')}](../img/study-{name}.svg)" for name in dict.fromkeys(names)
    )


PARTS = {
    "study": ("reference/results.md", study),
    "truncation": ("reference/results.md", lambda: compare_runs.commits(RESULTS / "truncation")),
    "table": ("reference/results.md", eight_bits.table),
    "known": ("reference/results.md", known_table.table),
    "house": ("reference/results.md", lambda: compare_runs.commits(RESULTS / "house")),
    "repetition": ("explanation/threat-model.md", repetition.statement),
    "cores": ("reference/results.md", cores.statement),
    "together": ("reference/results.md", together.statement),
    "full-width": ("reference/results.md", lambda: measured.latency("resnet18-m64_three-links")),
    "culled": ("reference/results.md", lambda: measured.latency("hrn-2x5x3x-s1-culled_lan")),
    "protocols": ("reference/results.md", lambda: measured.latency("resnet18-m4-m16_two-links")),
    "label": ("reference/results.md", lambda: measured.latency("resnet18-m16_label")),
    "spu": ("reference/results.md", measured.spu),
    "line": ("reference/results.md", measured.line),
    "tls": ("reference/results.md", measured.tls),
    "communicators": ("reference/results.md", measured.communicators),
    "answers": ("../README.md", answers.readme),
    "which": ("how-to/which-backend.md", answers.which),
    "choices": ("how-to/which-backend.md", choices.statement),
    "capacity": ("how-to/deploy.md", answers.capacity),
    "ahead": ("how-to/which-backend.md", answers.ahead),
    "builtins": ("reference/methods.md", builtins.table),
    "methods": ("reference/methods.md", methods.table),
    "longer": ("reference/methods.md", longer_runs.table),
}
"""By the name in the marks: the document, and what makes the part."""
