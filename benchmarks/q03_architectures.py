"""q03: architectures at equal ReLUs, and at equal accuracy: which one wins under which protocol and link?

    python benchmarks/q03_architectures.py run [--full]
    python benchmarks/q03_architectures.py plot benchmarks/results/quick/q03.json --out docs/img

Equal ReLUs: networks as the papers build them, of the width that brings them nearest to one budget, the few ReLUs
above it masked off. Everything is a ratio to the plain answer, a ResNet18 that is narrow enough. Equal accuracy (full
mode, when results/study holds the accuracy study): of every method the network with the fewest ReLUs that reaches, to
a point, the accuracy all of them reach, beside the network of the first curve. Weights are random: they do not change
cost.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from parts.cost_plots import dots, link_name
from parts.equal_accuracy import equally_accurate
from parts.network_blocks import Block, by_pair, measure_blocks
from parts.question_commands import RESULTS, Question, question_group

from pi_system.measure.question import Answer, Mode, QuestionReport
from pi_system.measure.side_by_side import Sample
from pi_system.measure.statistics import Interval, ratio_interval

TITLE = "Which architecture wins under which protocol and link?"
BASE = "ResNet18, narrow"
ACCURATE = "accurate: "
"""In front of the labels of the second part."""


EQUAL_RELUS = {
    BASE: "resnet18:m=2/relus=16384",
    "ResNet18, masks": "resnet18:m=8/relus=16384",
    "DeepReDuce, stage 3": "resnet18:m=16/keep=3",
    "DeepReDuce, 2, 3 thin": "resnet18:m=11/keep=23thin/relus=16384",
    "HRN-5x5x3x, no stage 1": "hrn-5x5x3x:m=1/keep=234",
    "HRN-2x5x3x, 34 thin": "hrn-2x5x3x:m=8/keep=34thin/relus=16384",
    "shallow ResNet": "resnet18:m=6,depth=10-10-10-10/relus=16384",
    "VGG16": "vgg16:m=4/relus=16384",
}
"""Networks of 16,384 ReLUs (HRN-5x5x3x of 0.4 % less), in rings that every backend takes."""


def only(*labels: str) -> dict[str, str]:
    """Some of them."""
    return {label: EQUAL_RELUS[label] for label in labels}


QUICK = only(BASE, "ResNet18, masks", "DeepReDuce, stage 3", "HRN-5x5x3x, no stage 1", "shallow ResNet")
BLOCKS: Mapping[Mode, Sequence[Block]] = {
    "quick": (Block(networks=QUICK, links=("lan",), repeat=5),),
    "full": (
        Block(networks=EQUAL_RELUS, links=("lan",), repeat=7),
        Block(networks=only(BASE, "DeepReDuce, stage 3", "shallow ResNet"), links=("loopback",), repeat=7),
        Block(networks=only(BASE, "DeepReDuce, stage 3", "shallow ResNet"), links=("wan",), repeat=3),
    ),
}


def blocks(study: Sequence[Path]) -> dict[Mode, Sequence[Block]]:
    """What is measured when ``study`` holds the file of the accuracy study, or nothing."""
    if not study:
        return dict(BLOCKS)
    target, networks = equally_accurate(study)
    labels: dict[str, list[str]] = {}
    for label, name in networks.items():
        labels.setdefault(name, []).append(label)  # two curves may have come to the same network
    accurate = Block(
        networks={f"{ACCURATE}{' = '.join(found)} {100 * target:.1f} %": name for name, found in labels.items()},
        links=("lan",),
        repeat=5,
    )
    return {"quick": BLOCKS["quick"], "full": (*BLOCKS["full"], accurate)}


# ---- answers, from the samples only


def parts(networks: Mapping[str, Sample]) -> list[dict[str, Sample]]:
    """Equal ReLUs, then equal accuracy; in each the first network is what the others are compared with."""
    accurate = {label: sample for label, sample in networks.items() if label.startswith(ACCURATE)}
    equal = {label: sample for label, sample in networks.items() if label not in accurate}
    return [part for part in (equal, accurate) if part]


def ratios(part: Mapping[str, Sample]) -> dict[str, Interval]:
    """Online time of every network but the first / that of the first."""
    base, *others = part.values()
    return {s["label"]: ratio_interval(s["online_ms"], base["online_ms"]) for s in others}


def answers(samples: Sequence[Sample]) -> tuple[Answer, ...]:
    """Ratios for every backend and link; the note says the rank."""
    found: list[Answer] = []
    for (backend, link), networks in by_pair(samples).items():
        for part in parts(networks):
            base = next(iter(part))
            places = ratios(part)
            order = sorted([base, *places], key=lambda label: places[label].value if label in places else 1.0)
            for label, interval in places.items():
                sample = part[label]
                note = f"{sample['network']}, {sample['relus']:,} ReLUs in {sample['relu_layers']} layers, "
                note += f"{sample['macs'] / 1e6:.0f} M MACs; place {1 + order.index(label)} of {len(order)}"
                name = f"{backend}/{link}/{label} over {base}"
                found.append(Answer.of(name, interval, "x", ratio=True, note=note))
    return tuple(found)


# ---- plots


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """A row a network, a plot a link; equal accuracy apart."""
    table = by_pair(report.samples)
    paths = []
    for link in dict.fromkeys(link for _, link in table):
        found = {backend: parts(networks) for (backend, where), networks in table.items() if where == link}
        for index, part in enumerate(next(iter(found.values()))):
            accurate = next(iter(part)).startswith(ACCURATE)
            shown = {
                backend: {_row(label): interval for label, interval in ratios(several[index]).items()}
                for backend, several in found.items()
            }
            xlabel = f"online time / {_row(next(iter(part)))}\n{link_name(link)}"
            rows = [_row(label) for label in list(part)[1:]]
            stem = f"q03-{'accuracy' if accurate else 'relus'}-{link}"
            paths += dots(rows, shown, xlabel, out, stem, mark=1.0)
    return paths


def _row(label: str) -> str:
    return label.removeprefix(ACCURATE)


def measure(mode: Mode, repeat: int | None) -> list[Sample]:
    """Every sample of the mode; the study is looked for now."""
    study = RESULTS / "study" / "study.json"
    return measure_blocks("q03", blocks([study] if study.is_file() else [])[mode], repeat)


QUESTION = Question(name="q03", title=TITLE, script="q03_architectures.py", measure=measure, answers=answers, draw=draw)
main = question_group(QUESTION)

if __name__ == "__main__":
    main()
