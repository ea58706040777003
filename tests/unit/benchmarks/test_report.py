"""benchmarks/report: numbers as text, prose that cannot drift from the JSON, and a page that asks for nothing."""

import base64
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from measured import ENVIRONMENT, question_report
from measuring.question import Answer, QuestionReport
from measuring.samples import CostSample
from measuring.statistics import Interval
from measuring.validation import Point, Validation
from report import findings as prose
from report.drawings import inline
from report.findings import document, findings
from report.page import LIMIT_BYTES, page
from report.sources import load_sources
from report.tables import provenance
from report.wording import interval, plain

import pi_system
from pi_system.errors import InputError

ROOT = Path(pi_system.__file__).parents[1]
HOSTILE = '<script src="http://evil.example/x.js"></script>![x](http://evil.example/p.png)'
SVG = """<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/x.dtd">
<svg xmlns="http://www.w3.org/2000/svg" width="432pt" height="288pt"><metadata>http://purl.org</metadata>
<g id="matplotlib.axis_1"><g id="xtick_1"><g id="text_1"><!-- 10 --></g></g><g id="text_2"><!-- ReLUs --></g></g>
<g id="matplotlib.axis_2"><g id="text_3"><!-- online ms --></g></g><path d="M 1.234567 2
L 3.999999 4"/></svg>"""


ANSWERS = (
    Answer.of("fss/loopback/offline_ms", Interval(325.46, 325.1, 348.7), "ms"),
    Answer.of("gmw/loopback/offline_ms", Interval(822.0, 800.0, 850.0), "ms"),
    Answer.exact("fss/loopback/offline_bytes", 385_500_000, "bytes"),
    Answer.of("fss/lan/wide, thin over plain", Interval(0.5, 0.4, 0.6), "x", ratio=True),
    Answer.of("fss/lan/deep over plain", Interval(1.5, 1.4, 1.6), "x", ratio=True),
    Answer.of("gc/lan/deep over plain", Interval(1.5, 1.4, 1.6), "x", ratio=True),
)


def _report(**changes: Any) -> QuestionReport:
    return question_report(**{"question": "q04", "answers": ANSWERS, "environment": IDLE} | changes)


IDLE = ENVIRONMENT.model_copy(update={"others_before": {}, "others_during": {}})


def _write(folder: Path, report: QuestionReport) -> Path:
    report.write(folder / report.mode / f"{report.question}.json")
    return folder


def _page(folder: Path) -> str:
    sources = load_sources(folder)
    return page(sources, findings(sources), {"q04": (inline("q04-cost", SVG),)})


class _References(HTMLParser):
    """Everything in a page that could make a browser ask for something, and the tags met."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        names = ("src", "href", "srcset", "action", "data", "poster", "background")
        self.found += [value or "" for name, value in attrs if name in names]


def test_numbers_keep_three_digits_and_their_interval_never_collapses() -> None:
    def text(value: float, low: float, high: float, unit: str = "ms") -> tuple[str, str]:
        answer = Answer(name="n", value=value, unit=unit, low=low, high=high)
        return plain(answer), interval(answer)

    assert text(0.13612, 0.1311, 0.1419, "us/ReLU") == ("0.136 us/ReLU", "0.131 to 0.142")
    assert text(1055.4, 1055.1, 1068.9) == ("1,055 ms", "1,055 to 1,069")
    assert text(30.01, 30.008, 30.012) == ("30.0 ms", "30.008 to 30.012")
    assert text(19.04, 18.2, 19.9, "x") == ("19.0", "18.2 to 19.9")
    assert text(72338, 72338, 72338, "bytes") == ("72,338 bytes", "exact")
    assert text(385_500_000, 385_500_000, 385_500_000, "bytes") == ("386 MB", "exact")
    assert text(0, 0, 0, "rounds") == ("0 rounds", "exact")
    assert text(-0.0001, -0.0002, 0.0) == ("-0.000100 ms", "-0.000200 to 0.000000")


def test_full_is_preferred_and_a_missing_question_is_not_measured(tmp_path: Path) -> None:
    _write(tmp_path, _report(title="quick one"))
    _write(tmp_path, _report(mode="full", title="full one"))
    html = _page(tmp_path)
    assert "full one" in html
    assert "quick one" not in html
    assert "Full run of 2026-11-20, 1 measured run, 3 timed samples." in html
    sections = {finding.key: finding for finding in findings(load_sources(tmp_path))}
    assert sections["q04"].measured
    assert sections["q01"].markdown == "Not measured."
    assert html.count('<p class="mark">Not measured.</p>') == len(sections) - 1
    assert "What does one ReLU cost online" in html


def test_a_file_in_the_wrong_place_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, _report()).joinpath("quick/q04.json").rename(tmp_path / "quick" / "q05.json")
    with pytest.raises(InputError, match="expected q05, quick; found q04, quick"):
        load_sources(tmp_path)


def test_sentences_hold_the_numbers_and_say_which_answers_they_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tmp_path / "prose"
    texts.mkdir()
    for key in ("q04", "cost_model", "study"):
        (texts / f"{key}.md").write_text(
            'It takes {{ each("*/loopback/offline_ms") }}.\nIt moves {{ a("fss/loopback/offline_bytes") }}.\n'
            'Gone {{ a("nowhere") }}.\nGone {{ fastest("wan", "plain") }}.\n\n'
            'Fastest: {{ fastest("lan", "plain") }}; apart {{ n(spread("fss", "lan", "plain")) }}.\n'
            '{% if raw("fss/loopback/offline_ms") < 400 %}Below on {{ networks }}.{% endif %}\n'
        )
    monkeypatch.setattr(prose, "PROSE", texts)
    prose._templates.cache_clear()
    found = {finding.key: finding for finding in findings(load_sources(_write(tmp_path / "r", _report())))}["q04"]
    prose._templates.cache_clear()
    assert found.paragraphs == (
        ("It takes 325 ms (325 to 349) with `fss` and 822 ms (800 to 850) with `gmw`.", "It moves 386 MB."),
        (
            "Fastest: with `fss` wide, thin, 0.500 (0.400 to 0.600); with `gc` the measure itself; apart 3.00.",
            "Below on `tiny` (4,352 ReLUs).",
        ),
    )
    assert found.unanswered == ("nowhere", "*/wan/* over plain")
    assert "## q04: What is it?" in document((found,))


def test_hostile_text_is_shown_not_obeyed(tmp_path: Path) -> None:
    hostile = _report(
        title=HOSTILE,
        command=HOSTILE,
        samples=({"network": HOSTILE, "online_ms": [1.0]},),
        answers=(Answer.of(f"{HOSTILE}/loopback/offline_ms", Interval(1.0, 0.9, 1.1), HOSTILE, note=HOSTILE),),
    )
    html = _page(_write(tmp_path, hostile))
    references = _References(html)
    assert not [tag for tag, _ in references.tags if tag == "script"]
    assert not [found for found in references.found if "evil" in found]
    assert "&lt;script" in html


def test_the_page_asks_for_nothing_and_is_small(tmp_path: Path) -> None:
    html = _page(_write(tmp_path, _report()))
    references = _References(html)
    assert [found for found in references.found if not found.startswith(("#", "data:"))] == []
    assert not re.search(r"@import|url\(|https?:", re.sub(r"data:[^\"]*", "", html))
    policies = [a["content"] for tag, a in references.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    ]
    assert len(html.encode()) < 50_000


def test_the_page_of_what_is_committed_is_complete_and_below_the_limit() -> None:
    sources = load_sources(ROOT / "benchmarks" / "results")
    html = page(sources, findings(sources), {})
    assert len(html.encode()) < LIMIT_BYTES / 2, "plots need the other half"
    for key in ("latency", "tls_cost", "communicators", "link_check", "peers_spu"):
        assert f'id="{key}"' in html
    assert "unverified" in html


def test_the_page_can_be_read_by_ear(tmp_path: Path) -> None:
    tags = _References(_page(_write(tmp_path, _report()))).tags
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert max(later - earlier for earlier, later in itertools.pairwise(levels)) <= 1
    assert all(attributes.get("alt") for tag, attributes in tags if tag == "img")
    assert all(attributes.get("scope") for tag, attributes in tags if tag == "th")
    assert all(a.get("aria-label") for _, a in tags if a.get("class") == "scroll")
    identifiers = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers)
    assert {a["href"][1:] for _, a in tags if (a.get("href") or "").startswith("#")} <= set(identifiers)  # type: ignore[index]


def test_contrast_is_enough_in_both_schemes() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    style = (ROOT / "benchmarks" / "report" / "templates" / "style.css").read_text()
    schemes = re.findall(r"--back: (#\w+); --text: (#\w+); --soft: (#\w+);.*?--link: (#\w+); --warn: (#\w+)", style)
    assert len(schemes) == 3
    for back, *colours in schemes:
        for colour in colours:
            light, dark = sorted((luminance(back), luminance(colour)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (back, colour)


def _study() -> dict[str, Any]:
    def run(seed: int, label: str, fraction: float | None, accuracy: float) -> dict[str, Any]:
        about = {"network": "net:a", "relus": int(1000 * (fraction or 1)), "macs": 10_000_000}
        name = f"seed{seed}/{label}@{fraction}"
        return {"run": name, "seed": seed, "label": label, "fraction": fraction, "test_accuracy": accuracy, **about}

    entries = [{"label": label} for label in ("snl", "random", "shallow")]
    epochs = {"baseline": {"epochs": 6}, "reduction": {"epochs": 2}}
    config = {"networks": ["net:a"], "data": {"name": "cifar100"}, "seeds": [0, 1], "entries": entries, **epochs}
    runs = [run(seed, "baseline", None, 0.60 + 0.01 * seed) for seed in (0, 1)]
    runs += [run(seed, "snl", 0.25, 0.55 + 0.01 * seed) for seed in (0, 1)]
    runs += [run(seed, "random", 0.25, 0.40 + 0.01 * seed) for seed in (0, 1)]
    return {"schema": 1, "config": config, "environment": {"torch": "2", "python": "3.11"}, "runs": runs}


def test_the_study_is_told_with_intervals_and_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.json").write_text(json.dumps(_study()))
    (found,) = (finding for finding in findings(load_sources(tmp_path)) if finding.key == "study")
    assert "With all its 1,000 ReLUs it reaches 60.5 % (60.0, 61.0) on the test pictures" in found.markdown
    assert (
        "the best mean is that of `fast`, 55.5 % (55.0, 56.0): +15.0 (+15.0 to +15.0) points over `random`"
        in found.markdown
    )
    assert "Not finished: shallow." in found.markdown
    assert "- Chosen ReLUs beat random ones, pixel by pixel (SNL, arXiv 2202.02340): **supported**" in found.markdown
    html = _page(tmp_path)
    assert "<strong>supported</strong>" in html
    # Two seeds a point apart: 0.5 points from their mean, times t(1) = 12.7.
    assert '<th scope="row">fast</th><td>25 %</td><td>250</td><td>55.5 %</td><td>49.1 to 61.9</td>' in html


def test_the_cost_model_is_told_with_its_worst_case(tmp_path: Path) -> None:
    def point(link: str, predicted: float, exact: bool) -> Point:
        offline = {"offline_measured_ms": 10.0, "offline_predicted_ms": 11.0}
        measured = {"measured_ms": 100.0, "predicted_ms": predicted, **offline}
        return Point(network="net", backend="gmw", link=link, exact=exact, **measured)

    counts = dict.fromkeys(CostSample.model_fields, 1)
    sample = CostSample.model_validate(
        counts | {"network": "net", "backend": "gmw", "link": "lan", "online_ms": [100.0], "offline_ms": [10.0]}
    )
    points = (point("lan", 104.0, True), point("wan", 80.0, True), point("loopback", 101.0, False))
    (tmp_path / "cost_model").mkdir()
    (tmp_path / "cost_model" / "calibration.part.json").write_text("[]")
    (tmp_path / "cost_model" / "validation.json").write_text(
        Validation(
            environment={}, networks={}, samples=(sample,), points=points, median_error=0.04, worst_error=0.2
        ).model_dump_json(by_alias=True)
    )
    (found,) = (finding for finding in findings(load_sources(tmp_path)) if finding.key == "cost_model")
    assert "off by 4.0 % (1.0 to 20.0) in the median, and by 20.0 % at worst (`net`, `gmw`, wan)." in found.markdown
    assert "exact in 2 of them." in found.markdown
    assert "<td>-20.0 %</td><td>+10.0 %</td>" in _page(tmp_path)


def test_a_drawing_is_stripped_and_keeps_its_words() -> None:
    drawing = inline("q01-us_per-relu", SVG)
    assert drawing.caption == "Online ms against ReLUs"
    assert drawing.labels == "ReLUs; online ms"
    assert inline("q01-by_size", "<svg/>").caption == "By size"
    assert ' d="M 1.23 2 L 4 4"' in base64.b64decode(drawing.uri.partition(",")[2]).decode()
    assert drawing.least_px < 360 - 2 * 1
    assert drawing.uri.startswith("data:image/svg+xml;base64,")


def test_a_busy_machine_is_told_and_samples_are_counted() -> None:
    busy = ENVIRONMENT.model_copy(update={"load_before": (3.0, 1.0, 1.0)}).model_dump()
    found = provenance("f.json", "c", busy, [{"online_ms": {"median": 2.0, "samples": [1.0, 2.0]}}, {"a_ms": [3.0]}])
    assert found.samples == "2 measured runs, 3 timed samples"
    assert found.warning.startswith("Load of 3.0 on 2 cores")
    assert not provenance("f.json", "c", ENVIRONMENT.model_dump(), []).warning
    beside = ENVIRONMENT.model_copy(update={"others_before": {}, "others_during": {"cc1plus": 0.97}}).model_dump()
    assert provenance("f.json", "c", beside, []).warning.startswith("Beside cc1plus")
    assert ("Other work, cores", "cc1plus 0.97") in provenance("f.json", "c", beside, []).environment


def test_the_committed_findings_are_those_of_the_committed_results() -> None:
    sources = load_sources(ROOT / "benchmarks" / "results")
    written = (ROOT / "docs" / "explanation" / "findings.md").read_text()
    assert written == document(findings(sources)), "run make report and commit"


def test_a_run_beside_other_work_gives_ratios_and_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = tmp_path / "prose"
    texts.mkdir()
    for key in ("q04", "cost_model", "study"):
        (texts / f"{key}.md").write_text(
            'It takes {{ each("*/loopback/offline_ms") }}.\nAlone {{ a("fss/loopback/offline_ms") }}.\n'
            'It moves {{ a("fss/loopback/offline_bytes") }}.\n'
        )
    monkeypatch.setattr(prose, "PROSE", texts)
    prose._templates.cache_clear()
    busy = _write(tmp_path / "results", _report(environment=ENVIRONMENT))
    found = {finding.key: finding for finding in findings(load_sources(busy))}["q04"]
    prose._templates.cache_clear()
    assert found.paragraphs == (("It takes with `gmw` 2.53 times what it is with `fss`.", "It moves 386 MB."),)
    assert found.origin.endswith("ratios alone.")
    assert not found.unanswered


def test_literature_is_marked() -> None:
    rows = json.loads((ROOT / "benchmarks" / "report" / "literature.json").read_text())
    assert all(set(row) - {"about"} == {"what", "value", "source", "verified"} for row in rows)
    assert {row["verified"] for row in rows} == {True, False}
