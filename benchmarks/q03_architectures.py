"""q03: architectures at equal ReLUs, and at equal accuracy: which one wins under which protocol and link?

    python benchmarks/q03_architectures.py run [--full]
    python benchmarks/q03_architectures.py plot benchmarks/results/quick/q03.json --out docs/img

Equal ReLUs: networks as the papers build them, of the width that brings them nearest to one budget, the few ReLUs
above it masked off. Everything is a ratio to the plain answer, a ResNet18 that is narrow enough. Equal accuracy (full
mode, when results/study holds the accuracy study): of every method the network with the fewest ReLUs that reaches, to
a point, the accuracy all of them reach, beside the network of the first curve. Weights are random: they do not change
cost.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from measuring import RESULTS
from measuring.equal_accuracy import equally_accurate
from measuring.plots import dots, link_name
from measuring.question import Answer, Mode, Question, QuestionReport
from measuring.side_by_side import Block, Sample, by_pair, measure_blocks
from measuring.statistics import Interval, ratio_interval

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


def accurate_block(study: Path) -> Block:
    """What the file of the accuracy study adds."""
    target, networks = equally_accurate([study])
    labels: dict[str, list[str]] = {}
    for label, name in networks.items():
        labels.setdefault(name, []).append(label)  # two curves may have come to the same network
    named = {f"{ACCURATE}{' = '.join(found)} {100 * target:.1f} %": name for name, found in labels.items()}
    return Block(networks=named, links=("lan",), repeat=5)


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
            base, places = next(iter(part)), ratios(part)
            order = sorted([base, *places], key=lambda label: places[label].value if label in places else 1.0)
            for label, interval in places.items():
                sample = part[label]
                note = f"{sample['network']}, {sample['relus']:,} ReLUs in {sample['relu_layers']} layers, "
                note += f"{sample['macs'] / 1e6:.0f} M MACs; place {1 + order.index(label)} of {len(order)}"
                found.append(Answer.times(f"{backend}/{link}/{label} over {base}", interval, note=note))
    return tuple(found)


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """A row a network, a plot a link; equal accuracy apart."""
    table, paths = by_pair(report.samples), list[Path]()
    for link in dict.fromkeys(link for _, link in table):
        found = {backend: parts(networks) for (backend, where), networks in table.items() if where == link}
        for index, part in enumerate(next(iter(found.values()))):
            base, *labels = (label.removeprefix(ACCURATE) for label in part)
            shown = {
                backend: {label.removeprefix(ACCURATE): ratio for label, ratio in ratios(several[index]).items()}
                for backend, several in found.items()
            }
            stem = f"q03-{'accuracy' if next(iter(part)).startswith(ACCURATE) else 'relus'}-{link}"
            paths += dots(labels, shown, f"online time / {base}\n{link_name(link)}", out, stem, mark=1.0)
    return paths


def measure(mode: Mode, repeat: int | None) -> list[Sample]:
    """Every sample of the mode; the study is looked for now."""
    study = RESULTS / "study" / "study.json"
    more = [accurate_block(study)] if mode == "full" and study.is_file() else []
    return measure_blocks([*BLOCKS[mode], *more], repeat)


QUESTION = Question(script=__file__, measure=measure, answers=answers, draw=draw)
main = QUESTION.commands()

if __name__ == "__main__":
    main()
