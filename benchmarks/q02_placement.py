"""q02: does it matter where a budget of ReLUs is placed? Few layers or many, masks or whole layers, early or late.

One ResNet18 with the same budget of ReLUs, placed differently; everything else is the same. Spread over 1, 4, 8 and
all 17 layers, what grows is the number of rounds: the slope is the cost of one more ReLU layer. Over four layers,
the budget is all of stage 4 (whole layers, late) or a drawn part of the positions of stage 3, 2 or 1 (pixel masks,
early): rounds are equal and only places differ.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from measuring.plots import dots, lines, link_name
from measuring.question import Answer, Mode, Question, QuestionReport, Sample, commands
from measuring.side_by_side import Series, by_link, by_pair, measuring
from measuring.statistics import Interval, ratio_interval, slope_interval

SPREAD = ("1 layer", "4 layers", "8 layers", "17 layers")
WHOLE = "stage 4, whole"
STAGES = (WHOLE, "stage 3, 1/2", "4 layers", "stage 1, 1/8")
"""Four layers each; the fraction is that of their positions that the budget takes. ``4 layers`` are those of stage 2,
a quarter of their positions."""


def placements(m: int) -> dict[str, str]:
    """The budget 512 m (all of stage 4) in ResNet18 of width ``m``."""
    name, budget = f"resnet18:m={m}", 512 * m
    return {
        "1 layer": f"{name}/layers=5",
        "4 layers": f"{name}/relus={budget}:2",
        "8 layers": f"{name}/relus={budget}:23",
        "17 layers": f"{name}/relus={budget}",
        WHOLE: f"{name}/keep=4",
        "stage 3, 1/2": f"{name}/relus={budget}:3",
        "stage 1, 1/8": f"{name}/layers=1,2,3,4/relus={budget}",
    }


def only(m: int, *labels: str) -> dict[str, str]:
    """Some of the placements."""
    return {label: placements(m)[label] for label in labels}


QUICK = only(8, "1 layer", "4 layers", "17 layers", WHOLE, "stage 1, 1/8")
SERIES: Mapping[Mode, Sequence[Series]] = {
    "quick": (Series(networks=QUICK, links=("lan",), repeat=5),),
    "full": (
        Series(networks=placements(16), links=("loopback", "lan"), repeat=7),
        Series(networks=only(8, "1 layer", "4 layers", "17 layers", WHOLE), links=("wan",), repeat=3),
    ),
}


def answers(samples: Sequence[Sample]) -> tuple[Answer, ...]:
    """What a layer costs, and every placement beside the one it differs from in one thing."""
    found: list[Answer] = []
    for (backend, link), networks in by_pair(samples).items():
        name = f"{backend}/{link}"
        spread = [networks[label] for label in SPREAD if label in networks]
        layers = [float(sample["relu_layers"]) for sample in spread]
        slope = slope_interval(layers, [sample["online_ms"] for sample in spread])
        rounds = (spread[-1]["rounds"] - spread[0]["rounds"]) / (layers[-1] - layers[0])
        found.append(Answer.of(f"{name}/ms_per_layer", slope, "ms/layer"))
        found.append(Answer.exact(f"{name}/rounds_per_layer", rounds, "rounds/layer"))
        ratios = {"17_layers_over_1": ("17 layers", "1 layer")}
        ratios |= {f"{_short(label)}_over_whole_stage_4": (label, WHOLE) for label in STAGES[1:]}
        for key, (ours, base) in ratios.items():
            if ours in networks and base in networks:
                found.append(Answer.times(f"{name}/{key}", between(networks[ours], networks[base])))
    return tuple(found)


def between(ours: Sample, base: Sample) -> Interval:
    """How many times as long one placement takes."""
    return ratio_interval(ours["online_ms"], base["online_ms"])


def _short(label: str) -> str:
    return {"4 layers": "stage_2"}.get(label, label.partition(",")[0].replace(" ", "_"))


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """Online time against ReLU layers for every link, and four layers in different stages."""
    paths = list[Path]()
    for link, found in by_link(report.samples).items():
        spread = {b: [(n[label]["relu_layers"], n[label]) for label in SPREAD if label in n] for b, n in found.items()}
        budget = next(sample["relus"] for sample in report.samples if sample["link"] == link)
        xlabel = f"layers that share {budget:,} ReLUs\n{link_name(link)}"
        paths += lines(spread, xlabel, out, f"q02-layers-{link}", log=False)
        places = {
            b: {_place(label): between(n[label], n[WHOLE]) for label in STAGES[1:] if label in n}
            for b, n in found.items()
        }
        xlabel = f"online time / whole layers of stage 4\n{link_name(link)}"
        paths += dots(places, xlabel, out, f"q02-stages-{link}", mark=1.0)
    return paths


def _place(label: str) -> str:
    return "stage 2, 1/4" if label == "4 layers" else label


QUESTION = Question(script=__file__, measure=measuring(SERIES), answers=answers, draw=draw)
main = commands(QUESTION)

if __name__ == "__main__":
    main()
