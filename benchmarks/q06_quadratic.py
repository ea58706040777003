"""q06: what does a square in the place of a ReLU save, under each protocol?

    python benchmarks/q06_quadratic.py run [--full]
    python benchmarks/q06_quadratic.py plot benchmarks/results/quick/q06.json --out docs/img

The same network of random weights with every ReLU, and with the square activation at every one of those positions,
in turn within every repetition, so that their ratio holds. Whether a network with
squares can be trained to the same accuracy is another question.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from parts.cost_plots import dots, link_name
from parts.network_blocks import Block, by_pair, measure_blocks, online_bytes
from parts.question_commands import Question, question_group

from pi_system.measure.question import Answer, Mode, QuestionReport
from pi_system.measure.side_by_side import Sample
from pi_system.measure.statistics import Interval, ratio_interval

TITLE = "What does a square in the place of a ReLU save, under each protocol?"


def pairs(*networks: str) -> dict[str, str]:
    """Every network with ReLUs and with squares."""
    found: dict[str, str] = {}
    for name in networks:
        found |= {f"{name} relu": name, f"{name} square": f"{name}/square"}
    return found


BLOCKS: Mapping[Mode, Sequence[Block]] = {
    "quick": (Block(networks=pairs("resnet18:m=8"), links=("loopback", "lan"), repeat=5),),
    "full": (
        Block(networks=pairs("resnet18:m=16"), links=("loopback", "lan"), repeat=9),
        Block(networks=pairs("resnet18:m=8,size=16"), links=("wan",), repeat=3),
    ),
}


# ---- answers, from the samples only


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
        name, note = f"{backend}/{link}", f"whole network {relu['network']}"
        found += [
            Answer.of(f"{name}/relu_over_square_online", saved(networks), "x", ratio=True, note=note),
            Answer.exact(f"{name}/relu_over_square_bytes", online_bytes(relu) / online_bytes(square), "x", note=note),
            Answer.exact(f"{name}/relu_over_square_rounds", relu["rounds"] / square["rounds"], "x", note=note),
            Answer.exact(
                f"{name}/relu_over_square_offline_bytes",
                relu["offline_bytes"] / max(1, square["offline_bytes"]),
                "x",
                note=note,
            ),
        ]
    return tuple(found)


# ---- plots


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """How many times as long ReLUs take, a row a link."""
    table = by_pair(report.samples)
    backends, links = (list(dict.fromkeys(pair[place] for pair in table)) for place in (0, 1))
    shown = {b: {link_name(k): saved(table[b, k]) for k in links if (b, k) in table} for b in backends}
    rows = [link_name(link) for link in links]
    return dots(rows, shown, "online time with ReLU / with square", out, "q06-square", mark=1.0)


def measure(mode: Mode, repeat: int | None) -> list[Sample]:
    """Every sample of the mode."""
    return measure_blocks("q06", BLOCKS[mode], repeat)


QUESTION = Question(name="q06", title=TITLE, script="q06_quadratic.py", measure=measure, answers=answers, draw=draw)
main = question_group(QUESTION)

if __name__ == "__main__":
    main()
