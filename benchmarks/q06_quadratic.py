"""q06: what does a square in the place of a ReLU save, under each protocol?

The same network of random weights with every ReLU, and with the square activation at every one of those positions,
in turn within every repetition, so that their ratio holds. Whether a network with squares can be trained to the same
accuracy is another question.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from measuring.plots import dots, link_name
from measuring.question import Answer, Mode, Question, QuestionReport, Sample, commands
from measuring.side_by_side import Series, by_pair, measuring, online_bytes
from measuring.statistics import Interval, ratio_interval


def pairs(name: str) -> dict[str, str]:
    """A network with ReLUs and with squares."""
    return {f"{name} relu": name, f"{name} square": f"{name}/square"}


SERIES: Mapping[Mode, Sequence[Series]] = {
    "quick": (Series(networks=pairs("resnet18:m=8"), links=("loopback", "lan"), repeat=5),),
    "full": (
        Series(networks=pairs("resnet18:m=16"), links=("loopback", "lan"), repeat=9),
        Series(networks=pairs("resnet18:m=8,size=16"), links=("wan",), repeat=3),
    ),
}


def twins(networks: Mapping[str, Sample]) -> tuple[Sample, Sample]:
    """The network with ReLUs and the same with squares."""
    relu = next(sample for label, sample in networks.items() if label.endswith(" relu"))
    return relu, networks[relu["label"].removesuffix(" relu") + " square"]


def saved(networks: Mapping[str, Sample]) -> Interval:
    """How many times as long the ReLUs take, the whole network in both."""
    relu, square = twins(networks)
    return ratio_interval(relu["online_ms"], square["online_ms"])


def answers(samples: Sequence[Sample]) -> tuple[Answer, ...]:
    """ReLU over square for every backend and link: time, bytes online and offline, rounds."""
    found: list[Answer] = []
    for (backend, link), networks in by_pair(samples).items():
        relu, square = twins(networks)
        name, note = f"{backend}/{link}/relu_over_square", f"whole network {relu['network']}"
        exact = {
            "bytes": online_bytes(relu) / online_bytes(square),
            "rounds": relu["rounds"] / square["rounds"],
            "offline_bytes": relu["offline_bytes"] / max(1, square["offline_bytes"]),
        }
        found.append(Answer.times(f"{name}_online", saved(networks), note=note))
        found += [Answer.exact(f"{name}_{key}", ratio, "x", note=note) for key, ratio in exact.items()]
    return tuple(found)


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """How many times as long ReLUs take, a row a link."""
    shown: dict[str, dict[str, Interval]] = {}
    for (backend, link), networks in by_pair(report.samples).items():
        shown.setdefault(backend, {})[link_name(link)] = saved(networks)
    return dots(shown, "online time with ReLU / with square", out, "q06-square", mark=1.0)


QUESTION = Question(script=__file__, measure=measuring(SERIES), answers=answers, draw=draw)
main = commands(QUESTION)

if __name__ == "__main__":
    main()
