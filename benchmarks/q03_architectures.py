"""q03: architectures at equal ReLUs: which one wins under which protocol and link?

Networks as the papers build them, of the width that brings them nearest to one budget, the few ReLUs above it masked
off. Everything is a ratio to the plain answer, a ResNet18 that is narrow enough. Weights are random: they do not change
cost. What they cost at equal accuracy is computed from the accuracy study (measuring/equal_accuracy.py).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from measuring.plots import dots, link_name
from measuring.question import Answer, Mode, Question, QuestionReport, Sample, commands
from measuring.side_by_side import Series, by_link, by_pair, measuring
from measuring.statistics import Interval, ratio_interval

BASE = "ResNet18, narrow"
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
SERIES: Mapping[Mode, Sequence[Series]] = {
    "quick": (Series(networks=QUICK, links=("lan",), repeat=5),),
    "full": (
        Series(networks=EQUAL_RELUS, links=("lan",), repeat=7),
        Series(networks=only(BASE, "DeepReDuce, stage 3", "shallow ResNet"), links=("loopback",), repeat=7),
        Series(networks=only(BASE, "DeepReDuce, stage 3", "shallow ResNet"), links=("wan",), repeat=3),
    ),
}


def ratios(networks: Mapping[str, Sample]) -> dict[str, Interval]:
    """Online time of every network but the first / that of the first."""
    base, *others = networks.values()
    return {s["label"]: ratio_interval(s["online_ms"], base["online_ms"]) for s in others}


def answers(samples: Sequence[Sample]) -> tuple[Answer, ...]:
    """Ratios for every backend and link; the note says the rank."""
    found: list[Answer] = []
    for (backend, link), networks in by_pair(samples).items():
        base, places = next(iter(networks)), ratios(networks)
        order = sorted([base, *places], key=lambda label: places[label].value if label in places else 1.0)
        for label, interval in places.items():
            sample = networks[label]
            note = f"{sample['network']}, {sample['relus']:,} ReLUs in {sample['relu_layers']} layers, "
            note += f"{sample['macs'] / 1e6:.0f} M MACs; place {1 + order.index(label)} of {len(order)}"
            found.append(Answer.times(f"{backend}/{link}/{label} over {base}", interval, note=note))
    return tuple(found)


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """A row a network, a plot a link."""
    paths = list[Path]()
    for link, found in by_link(report.samples).items():
        shown = {backend: ratios(networks) for backend, networks in found.items()}
        paths += dots(shown, f"online time / {BASE}\n{link_name(link)}", out, f"q03-relus-{link}", mark=1.0)
    return paths


QUESTION = Question(script=__file__, measure=measuring(SERIES), answers=answers, draw=draw)
main = commands(QUESTION)

if __name__ == "__main__":
    main()
