"""Sentences that compare or time: each is on a list with what recomputes it, and nothing of the kind stands elsewhere.

Parts between marks are made of JSON and tests/unit/benchmarks/test_stated.py compares them; findings, claims and the
tables of configuration and export are made whole. Decisions and changes are of their day, and say so.
"""

import importlib
import json
import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
from claims_text import sentences
from measuring.schema import LatencyReport
from measuring.study_claims import FIRST
from measuring.study_tables import load_study, needed
from report.answers import pairs

from pi_system.channel.link import Link
from pi_system.networks import read_card

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "benchmarks" / "results"
OF_THEIR_DAY = ("docs/explanation/decisions.md", "CHANGELOG.md")
MADE_WHOLE = (
    "docs/explanation/findings.md",
    "docs/reference/claims.md",
    "docs/reference/configuration.md",
    "docs/how-to/will-my-network-run.md",
)
PAGES = [
    page
    for page in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
    if str(page.relative_to(ROOT)) not in (*OF_THEIR_DAY, *MADE_WHOLE)
]
WORDS = re.compile(
    r"\b(?:faster|fastest|slower|slowest|quicker|quickest|cheaper|cheapest|fewest|soonest|"
    r"times (?:less|more|as|the|fewer)|[\d.,]+ times|(?:is|are|comes?|was|were) first(?! used)|"
    r"first (?:everywhere|wherever|of all)|wins? (?:everywhere|nowhere)|"
    r"least (?:online|time|bytes)|ahead of `|ahead (?:everywhere|wherever)|beats?|outperforms?|twice (?:as|the)|"
    r"half (?:of )?(?:the|`)|of the time of|"
    r"\d[\d.,]*(?: to \d[\d.,]*)? ?(?:ms|us|ns|s|seconds|minutes|hours))\b"
)


def held_by(*tests: str) -> None:
    """A test of that name says the same."""
    for test in tests:
        file, _, function = test.partition("::")
        assert re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.MULTILINE), test


def constants(expected: dict[str, Any]) -> None:
    """What the code has, by module and name."""
    for name, value in expected.items():
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute) == value, name


def default(module: str, command: str, option: str, value: float) -> None:
    """What an option has unless it is given."""
    found = getattr(importlib.import_module(module), command)
    assert isinstance(found, click.Command)
    assert next(p for p in found.params if p.name == option).default == value


def quoted(*figures: str) -> None:
    """Of others: the sentence itself says where it was read; the page, that machines and networks are theirs."""
    page = (ROOT / "docs/explanation/against-others.md").read_text()
    assert "Figures of others are theirs" in page
    for figure in figures:
        (row,) = [line for line in page.splitlines() if figure in line]
        assert re.search(r"\(read\b|\(not verified\)", row[row.index(figure) :])


def link_check(name: str) -> dict[str, float]:
    report = json.loads((RESULTS / "link_check" / f"2026-11-20_{name}.json").read_text())
    return {row["what"]: row["ratio"] for row in report["rows"]}


def shaper() -> None:
    """Below 1: the shaper is quicker than the emulated link."""
    page, echoes = (ROOT / "docs/reference/results.md").read_text(), [8_000_000, 1_000_000, 128_000, 16_000, 1_000]
    for link in ("wan", "lan"):
        found = link_check(f"{link}_reno_8ce992bab9")
        values = [found[f"echo {size}"] for size in echoes] + [found["fss resnet18:m=16"]]
        assert f"| {link} | {' | '.join(f'{value:.3f}' for value in values)} |" in page
    assert all(link_check("lan_reno_8ce992bab9")[f"echo {size}"] > 1 for size in (16_000, 1_000))


def dealers_keys_are_ahead() -> None:
    """But where there is no ReLU; of ``gmw`` in at least 19 of 20 pairs."""
    for other, share in (("gmw", 0.95), ("gc", 1.0), ("crypten", 1.0)):
        found = [pair for pair in pairs("fss", other) if not pair.network.endswith("/square")]
        assert len(found) > 40
        assert share * len(found) <= sum(pair.ratio < 1 for pair in found), other
    assert any(pair.ratio >= 1 for pair in pairs("fss", "table"))


def at_equal_accuracy() -> None:
    """README's ratios over the lan, and its accuracy."""
    costs = json.loads((RESULTS / "study" / "costs.json").read_text())
    target, found = needed(load_study(FIRST), costs)
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"At equal accuracy ({100 * target:.1f} % in a small" in text
    curves = {one.label: one.ratios for one in found}
    for curve, words in {
        "deepreshape": "`deepreshape` needs {} of the time of pixel masks",
        "shallow": "`shallow` {}",
        "fast-by-layer-channel": "masks of channels with budgets by layer {}",
    }.items():
        ratios = {backend: curves[curve][("lan", backend)].value for backend in ("fss", "gmw")}
        assert words.format(f"{ratios['fss']:.2f} and {ratios['gmw']:.2f}") in text, curve


def nothing_measured() -> None:
    """It tells what happens in either case, not that one does."""


STEP = partial(
    held_by,
    "tests/unit/export/test_quantise.py::test_an_exported_artifact_has_a_step_above_its_own_error",
    "tests/unit/export/test_compare_bits.py::test_scores_have_a_step_above_the_noise_of_coins",
)
CALLS = partial(
    constants,
    {
        "pi_system.rpc.transport.HANDSHAKE_S": 5.0,
        "pi_system.rpc.transport.MAX_CONNECTIONS": 2048,
        "pi_system.rpc.overdue.CALL_S": 5.0,
    },
)
LEAST = partial(held_by, "tests/unit/cost/test_choice.py::test_the_least_predicted_is_chosen")
CHECKS: dict[str, Callable[[], None]] = {
    "takes what the cost model predicts to have the least online time": LEAST,
    "else the least online time that the cost model predicts": LEAST,
    "finds by layer the fewest that cost at most 0.1 points": partial(
        constants, {"pi_system.export.compare_bits._LOSS": {True: 0.001, False: 0.002}}
    ),
    "ours cost 2^140 by the cheapest of eleven attacks": partial(
        held_by,
        "tests/unit/protocols/test_lpn_estimate.py::test_the_sets_have_their_margin_by_every_attack",
        "tests/unit/protocols/test_lpn_estimate.py::test_the_sets_of_emp_have_no_margin",
    ),
    "tickets instead of held connections, fewest places first": partial(
        held_by, "tests/unit/server/test_admission.py::test_who_has_fewer_places_comes_next_however_often_another_asks"
    ),
    "Orion: ResNet-20, 8.86 s a picture": partial(quoted, "8.86 s", "1,145 s", "40 s on 192 cores"),
    "Cheetah: ResNet50 below 2.5 minutes": partial(quoted, "below 2.5 minutes"),
    "ResNet50 over a WAN 125 s": partial(quoted, "125 s"),
    "SqueezeNet 3.6 s on CPUs": partial(quoted, "3.6 s on CPUs"),
    "`lan` is 1 Gbit/s and 0.3 ms": partial(
        constants,
        {
            "pi_system.channel.link.LINKS": {
                "loopback": Link(math.inf, 0.0),
                "lan": Link(1e9, 0.3e-3),
                "wan": Link(100e6, 40e-3),
            },
            "measuring.known.LINKS": {name: name for name in ("loopback", "lan", "wan")} | {"cheetah-wan": "400,40"},
        },
    ),
    "2.07 to 3.72 times faster than Cheetah": partial(quoted, "2.07 to 3.72 times"),
    "MP-SPDZ: ResNet50 199.6 s": partial(quoted, "199.6 s"),
    "Muse: 1.7 to 2.2 times Delphi online": partial(quoted, "1.7 to 2.2 times"),
    "rounds logits to a public step, at least four times the largest error seen": STEP,
    "at least four times the largest fixed-point error": STEP,
    "Less revealed makes extraction slower, not impossible": nothing_measured,
    "it shifts them by a large known number times the weights": partial(
        held_by, "tests/conformance/test_truncation_leak.py::test_a_failed_truncation_tells_a_column_of_weights"
    ),
    "who has no certificate holds a connection for 5 s": CALLS,
    "while others wait 5 s between commands and 20 s to be set up": partial(
        constants, {"pi_server.supervisor._CROWDED_IDLE_S": 5.0}
    ),
    "a call that is not admitted is ended after 5 s": CALLS,
    "at `--health` after 2 s of silence or 30 s in all": partial(
        constants, {"pi_system.rpc.transport.KEEPALIVE_S": 2.0}
    ),
    "Without it, or when callers are faster": nothing_measured,
    "finds by layer the fewest that keep 99.8 %": partial(
        constants, {"pi_system.export.compare_bits._LOSS": {True: 0.001, False: 0.002}}
    ),
    "A kill is SIGKILL of a worker in a session, where there is one, every 20 s": partial(
        default, "endurance", "kills", "every", 20.0
    ),
    "`crypten` wherever a network has ReLUs, and of `gmw` in at least 19 of 20": dealers_keys_are_ahead,
    "`deepreshape` needs 0.49 and 0.46 of the time of pixel masks": at_equal_accuracy,
    "Echoes of 16 KB and less over lan are slower shaped than emulated": shaper,
}
"""By words of the sentence, which stand in one alone: what fails when it is false."""


def comparing() -> list[tuple[str, str]]:
    """Every sentence with such a word, and its page."""
    return [
        (str(page.relative_to(ROOT)), sentence)
        for page in PAGES
        for sentence in sentences(page.read_text())
        if WORDS.search(sentence)
    ]


def test_every_sentence_that_compares_or_times_is_on_the_list() -> None:
    found = [(page, text) for page, text in comparing() if not any(words in text for words in CHECKS)]
    assert not found, "recompute it in CHECKS, have it made of JSON between marks, or say less"


@pytest.mark.parametrize("words", CHECKS)
def test_a_sentence_on_the_list_is_there_once_and_true(words: str) -> None:
    assert len([text for _, text in comparing() if words in text]) == 1
    CHECKS[words]()


@pytest.mark.parametrize("page", OF_THEIR_DAY)
def test_a_record_says_that_its_figures_are_of_their_day(page: str) -> None:
    assert "of their day" in (ROOT / page).read_text()[:800]


@pytest.mark.parametrize(
    "text",
    [
        "gmw is first everywhere measured.",
        "It took 21 ms here.",
        "`fss` wins nowhere.",
        "19 and 24 times less time.",
        "Small networks pay 0.6 to 0.9 ms a round.",
        "| a | 0.2 us |",
        "`fss` has the least online wherever a network has ReLUs.",
        "`gmw` beats `gc`.",
        "`table` takes half of `gmw`'s.",
    ],
)
def test_the_scan_sees_what_was_once_false(text: str) -> None:
    assert [found for found in sentences(f"# Head\n\n{text}\n") if WORDS.search(found)] == [text]
    assert not [found for found in sentences(f"<!-- x:begin -->\n{text}\n<!-- x:end -->\n") if WORDS.search(found)]


@pytest.mark.parametrize(("name", "data"), [("cifar10", "a JPEG copy of CIFAR-10"), ("cifar100", "CIFAR-100")])
def test_the_built_in_networks_are_as_the_readme_says(name: str, data: str) -> None:
    card, text = read_card(name), " ".join((ROOT / "README.md").read_text().split())
    said = re.search(rf"`(?:[^`]* )?builtin:{name}` [^(`]+\(([\d,]+) ReLUs, ([\d.]+) % on {data}[;)]", text)
    assert said
    assert int(said[1].replace(",", "")) == card.relus
    assert float(said[2]) == pytest.approx(100 * card.test_accuracy, abs=0.05)


def test_what_full_width_stores_is_in_its_run() -> None:
    (run,) = (RESULTS / "latency").glob("*_resnet18-m64_three-links.json")
    report = json.loads(run.read_text())
    text = " ".join((ROOT / "docs/reference/results.md").read_text().split())
    found = {run["backend"]: run for run in report["results"] if run["link"] == "loopback"}
    assert f"Largest logit error against float: {max(run['max_abs_error'] for run in report['results']):.3f}" in text
    stored = {name: found[name]["stored_bytes_per_relu"] for name in ("fss", "gmw")}
    assert f"`fss` {stored['fss']:.0f} bytes a ReLU, `gmw` {stored['gmw']:.0f}" in text
    weights = max(run["setup_bytes"] for run in report["results"] if run["backend"] == "fss")
    assert f"sends {weights / 1e6:.1f} MB of masked weights once" in text


def test_milliseconds_of_eight_bits_are_of_a_clean_commit_on_an_idle_machine() -> None:
    for path in (RESULTS / "table").glob("*.json"):
        assert LatencyReport.model_validate_json(path.read_text()).environment.quotable
