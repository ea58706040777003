"""The answers in prose: sentences of prose/*.md filled with numbers of the JSON, so that no number is typed.

A line of a template is a sentence; an empty line ends a paragraph; ``{# ... #}`` is for who edits it. A sentence that
names an answer which the measurement lacks is left out and its missing answers are reported: a quick run answers less
than a full one.

In a template: ``a(name)`` value, unit and 95 % interval; ``raw(name)`` and ``low(name)`` numbers, for comparisons;
``differs(name)`` whether a ratio's interval leaves 1 out; ``verdict(pattern, most)`` whether answers are ``most`` or
less, by their intervals; ``each(pattern)`` every answer whose name matches, with
what its star stands for; ``two(pattern)`` those of ``fss`` and ``gmw``, the fastest with a dealer and without;
``largest(pattern)`` and ``smallest(pattern)`` what it stands for if that is a number; ``fastest(link, base)`` the
least of every backend's answers ``backend/link/label over base``; ``spread(backend, link, base)`` how far those are
apart; ``priced(link, us)`` an assumed cost over the measured ones, ``right(us)`` where it is one of them;
``over(name, other, scale)`` one answer over another; ``limits(pattern)`` whether one of them is a lower limit;
``linear_share(backend, link, most)`` what multiply-accumulates are of the time; ``joined`` an enumeration;
``n(number)`` three digits; ``networks`` what was measured, ``networks_of(kind)`` by samples of a kind; ``note(name)``
how an answer was found; ``given`` what measurements without a question hold.

A run beside other work, or of a tree with changes, gives no time: a sentence about one is left out, and of several
backends, of which each says its multiple of the first one's.
"""

import statistics
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined, Template
from measuring.documents import number
from measuring.question import Answer, QuestionReport
from measuring.statistics import Interval, quotient
from report.sources import QuestionResult, Sources
from report.stored import cost_model, study_facts
from report.wording import interval, plain

PROSE: Final = Path(__file__).resolve().parent / "prose"
_HEAD: Final = """# Findings

What every question of `benchmarks/` found, in a few sentences. Written by `make report` from the JSON in
`benchmarks/results/`; a test compares this file with what it would write. In brackets: 95 % intervals
of the repetitions, widened by 2 % either way for what differs between runs (`benchmarks/measuring/statistics.py`).
"""
_OURS: Final = ("fss", "gmw")
_WIDTH: Final = 118
_NOT_MEASURED: Final = "Not measured."


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One section: sentences by paragraph (none where nothing was measured), Markdown below them, where it is from.

    ``unanswered``: names that sentences asked for in vain.
    """

    key: str
    title: str
    origin: str
    paragraphs: tuple[tuple[str, ...], ...]
    unanswered: tuple[str, ...] = ()
    appendix: str = ""

    @property
    def measured(self) -> bool:
        """There is something to say."""
        return bool(self.paragraphs)

    @property
    def markdown(self) -> str:
        """The paragraphs and what is below them."""
        parts = [*(" ".join(sentences) for sentences in self.paragraphs), self.appendix]
        return "\n\n".join(filter(None, parts)) or _NOT_MEASURED


class _MissingAnswerError(Exception):
    """A sentence asks for an answer that the measurement lacks."""


class _NotQuotableError(Exception):
    """A sentence is about a time that may not be quoted."""


class _Answers:
    """What templates may ask of one report."""

    def __init__(self, report: QuestionReport | None) -> None:
        self._answers = {answer.name: answer for answer in report.answers} if report else {}
        self._samples = report.samples if report else ()
        self._quotable = report is None or report.environment.quotable

    def variables(self) -> dict[str, Any]:
        """By the names that templates use."""
        return {
            "a": lambda name: _measured(self._quoted(name)),
            "raw": lambda name: self._get(name).value,
            "low": lambda name: self._get(name).low,
            "verdict": self._verdict,
            "differs": lambda name: not self._get(name).low <= 1 <= self._get(name).high,
            "each": self._each,
            "two": lambda pattern: self._each(pattern, only=_OURS),
            "largest": lambda pattern: max(self._numbers(pattern)),
            "smallest": lambda pattern: min(self._numbers(pattern)),
            "joined": joined,
            "priced": self._priced,
            "over": self._over,
            "limits": lambda pattern: any("lower limit" in answer.note for answer in self._matching(pattern)),
            "fastest": self._fastest,
            "right": self._right,
            "linear_share": self._linear_share,
            "spread": self._spread,
            "n": number,
            "networks": self._networks(),
            "networks_of": self._networks,
            "note": lambda name: self._get(name).note.partition(";")[0],
        }

    def _get(self, name: str) -> Answer:
        if name not in self._answers:
            raise _MissingAnswerError(name)
        return self._answers[name]

    def _quoted(self, name: str) -> Answer:
        """Raises _NotQuotableError: it is a time, of a run that gives none."""
        answer = self._get(name)
        if not self._quotable and _timed(answer):
            raise _NotQuotableError
        return answer

    def _stars(self, pattern: str) -> list[str]:
        """What the one star of ``pattern`` stands for, in order."""
        before, after = pattern.split("*")
        return [name[len(before) : len(name) - len(after)] for name in self._answers if fnmatchcase(name, pattern)]

    def _numbers(self, pattern: str) -> list[int]:
        found = [int(star) for star in self._stars(pattern) if star.isdecimal()]
        if not found:
            raise _MissingAnswerError(pattern)
        return found

    def _each(self, pattern: str, word: str = "with", only: tuple[str, ...] | None = None) -> str:
        """``3 ms (2.9 to 3.1) with `fss`, 5 ms (4 to 6) with `gmw``` and so on."""
        stars = [star for star in self._stars(pattern) if only is None or star in only]
        if not stars:
            raise _MissingAnswerError(pattern)
        answers = [self._get(pattern.replace("*", star)) for star in stars]
        if not self._quotable and any(_timed(answer) for answer in answers):
            return _multiples(stars, answers, word)
        values = [_measured(answer) for answer in answers]
        if word == "on" and len(stars) == 1:
            return values[0]  # one network, which the section names once
        return joined([f"{value} {word} `{star}`" for value, star in zip(values, stars, strict=True)])

    def _matching(self, pattern: str) -> list[Answer]:
        return [self._get(pattern.replace("*", star)) for star in self._stars(pattern)]

    def _verdict(self, pattern: str, most: float) -> str:
        """Of every answer that matches: is it ``most`` or less, by its interval?"""
        stars = self._stars(pattern)
        if not stars:
            raise _MissingAnswerError(pattern)
        words = []
        for star in stars:
            found = self._get(pattern.replace("*", star))
            word = "supported" if found.high <= most else "contradicted" if found.low > most else "undecided"
            words.append(f"{word} on `{star}`")
        return joined(words)

    def _beside(self, link: str, base: str) -> dict[str, dict[str, Answer]]:
        """Answers named ``backend/link/label over base``, by backend and label."""
        found: dict[str, dict[str, Answer]] = {}
        for name, answer in self._answers.items():
            backend, _, rest = name.partition("/")
            where, _, labels = rest.partition("/")
            label, over, other = labels.partition(" over ")
            if over and where == link and fnmatchcase(other, base):
                found.setdefault(backend, {})[label] = answer
        if not found:
            raise _MissingAnswerError(f"*/{link}/* over {base}")
        return found

    def _fastest(self, link: str, base: str) -> str:
        parts = []
        for backend, answers in self._beside(link, base).items():
            label, answer = min(answers.items(), key=lambda entry: entry[1].value)
            best = f"{label}, {_measured(answer)}" if answer.value < 1 else "the measure itself"
            parts.append(f"with `{backend}` {best}")
        return "; ".join(parts)

    def _spread(self, backend: str, link: str, base: str) -> float:
        values = [1.0, *(answer.value for answer in self._beside(link, base).get(backend, {}).values())]
        return max(values) / min(values)

    def _priced(self, link: str, assumed_us: float) -> list[str]:
        """How many times its measured cost a ReLU was assumed to cost, where that cost is surely above zero."""
        costs = {backend: self._quoted(f"{backend}/{link}/us_per_relu") for backend in _OURS}
        assumed = Interval(assumed_us, assumed_us, assumed_us)
        ratios = {backend: quotient(assumed, _as_interval(cost)) for backend, cost in costs.items()}
        return [f"{_times(ratio)} times the cost with `{backend}`" for backend, ratio in ratios.items() if ratio]

    def _over(self, name: str, other: str, scale: float) -> str:
        """``scale`` times one answer over another; nothing where one of them may be 0."""
        ratio = quotient(_as_interval(self._get(name)), _as_interval(self._get(other)))
        return _times(Interval(*(scale * end for end in ratio))) if ratio else ""

    def _right(self, assumed_us: float) -> list[str]:
        """Where the assumed cost of a ReLU lies within the measured one's interval."""
        if not self._quotable:
            raise _NotQuotableError
        names = [(name.split("/"), answer) for name, answer in self._answers.items() if name.endswith("/us_per_relu")]
        return [f"with `{path[0]}` over {path[1]}" for path, a in names if a.low <= assumed_us <= a.high]

    def _linear_share(self, backend: str, link: str, most: str) -> str:
        """Of the network with the most ``relus`` or ``macs``: the part of its online time that its MACs take."""
        found = [s for s in self._samples if (s["backend"], s["link"]) == (backend, link)]
        if not found:
            raise _MissingAnswerError(f"{backend}/{link}")
        largest = max(found, key=lambda sample: int(sample[most]))
        ms, cost = statistics.median(largest["online_ms"]), self._get(f"{backend}/{link}/ns_per_mac")
        value, low, high = (100e-6 * largest["macs"] * ns / ms for ns in (cost.value, cost.low, cost.high))
        whole = f"{number(ms)} ms" if self._quotable else "time"
        return f"{value:.0f} % ({low:.0f} to {high:.0f}) of the {whole} of `{largest['network']}`"

    def _networks(self, kind: str | None = None) -> str:
        """Names and ReLU counts of the networks of the samples, of one kind or of all."""
        counts: dict[str, int | None] = {}
        for sample in self._samples:
            if "network" in sample and kind in (None, sample.get("kind")):
                counts[sample["network"]] = counts.get(sample["network"]) or sample.get("relus")
        return joined([f"`{name}`" + (f" ({count:,} ReLUs)" if count else "") for name, count in counts.items()])


def joined(parts: list[str]) -> str:
    """An enumeration."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def findings(sources: Sources) -> tuple[Finding, ...]:
    """Every section, measured or not, in order."""
    sections = [_question(question) for question in sources.questions]
    for key, field, title, given in (
        ("cost_model", "points", "Does the cost model predict networks it was not fitted on?", cost_model(sources)),
        ("study", "runs", "How does accuracy fall with the ReLU budget?", study_facts(sources)),
    ):
        origin = f"{joined([f'`{stored.file}`' for stored in sources.holding(key, field)])}."
        sections.append(_section(key, title, origin, None, given))
    return tuple(sections)


def document(sections: tuple[Finding, ...]) -> str:
    """docs/explanation/findings.md."""
    parts = [_HEAD]
    for finding in sections:
        title = " ".join(finding.title.split())
        heading = f"{finding.key}: {title}" if finding.key.startswith("q") else title
        origin = f"\n{_wrapped(finding.origin)}\n" if finding.measured and finding.origin else ""
        parts.append(f"## {heading}\n{origin}\n{_wrapped(finding.markdown)}\n")
    return "\n".join(parts)


def _question(question: QuestionResult) -> Finding:
    if (report := question.report) is None:
        return Finding(key=question.key, title=question.title, origin="", paragraphs=())
    about = report.environment
    beside = "" if about.quotable else " Perhaps beside other work, or of a tree with changes: ratios alone."
    origin = (
        f"{report.mode.capitalize()} run of {about.date[:10]}, {about.cpu}, commit {about.git_sha}"
        f"{' with changes' if about.git_dirty else ''}, {len(report.samples)} measured runs: `{question.file}`.{beside}"
    )
    return _section(question.key, question.title, origin, report, {})


def _section(
    key: str, title: str, origin: str, report: QuestionReport | None, given: Mapping[str, Any] | None
) -> Finding:
    if given is None:
        return Finding(key=key, title=title, origin="", paragraphs=())
    paragraphs: list[tuple[str, ...]] = []
    missing: dict[str, None] = {}
    variables = {**_Answers(report).variables(), "given": given}
    for lines in _templates(key):
        sentences = []
        for line in lines:
            try:
                sentences.append(" ".join(line.render(variables).split()))
            except _MissingAnswerError as error:
                missing[str(error)] = None
            except _NotQuotableError:
                continue
        if any(sentences):
            paragraphs.append(tuple(filter(None, sentences)))
    return Finding(
        key=key,
        title=title,
        origin=origin,
        paragraphs=tuple(paragraphs),
        unanswered=tuple(missing),
        appendix=str(given.get("claims", "")),
    )


@cache
def _templates(key: str) -> tuple[tuple[Template, ...], ...]:
    """Paragraphs of sentences; plain text, escaped by who makes HTML of it."""
    jinja = Environment(undefined=StrictUndefined, autoescape=False)
    text = (PROSE / f"{key}.md").read_text()
    return tuple(
        tuple(jinja.from_string(line) for line in paragraph.splitlines() if line.strip())
        for paragraph in text.split("\n\n")
    )


def _as_interval(answer: Answer) -> Interval:
    return Interval(answer.value, answer.low, answer.high)


def _times(ratio: Interval) -> str:
    return _measured(Answer.times("ratio", ratio))


def _timed(answer: Answer) -> bool:
    """A time, or a rate; not a ratio of two."""
    return answer.unit.partition("/")[0] in ("s", "ms", "us", "ns", "1") and answer.unit != "1"


def _multiples(stars: list[str], answers: list[Answer], word: str) -> str:
    """Each as a multiple of the first. Raises _NotQuotableError: there is one alone."""
    if len(stars) < 2:
        raise _NotQuotableError
    pairs = zip(stars[1:], answers[1:], strict=True)
    ratios = [f"{word} `{star}` {number(answer.value / answers[0].value)}" for star, answer in pairs]
    return f"{joined(ratios)} times what it is {word} `{stars[0]}`"


def _measured(answer: Answer) -> str:
    """Value and interval; ``us/ReLU`` is ``us`` here and ``1/s`` nothing, because the sentence says of what."""
    answer = answer.model_copy(update={"unit": answer.unit.partition("/")[0].removesuffix("1")})
    least = "at least " if "lower limit" in answer.note else ""
    if answer.low == answer.high:
        return least + plain(answer)
    return f"{least}{plain(answer)} ({interval(answer)})"


def _wrapped(markdown: str) -> str:
    """Paragraphs and list entries in lines of at most 118 characters."""
    wrapper = textwrap.TextWrapper(_WIDTH, break_long_words=False, break_on_hyphens=False)
    lines = []
    for line in markdown.splitlines():
        indent = len(line) - len(line.lstrip()) + 2 if line.lstrip().startswith("- ") else 0
        wrapper.subsequent_indent = " " * indent
        lines += wrapper.wrap(line) or [""]
    return "\n".join(lines)
