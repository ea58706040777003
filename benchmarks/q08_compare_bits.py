"""q08: how many bits does a ReLU need?

    PI_CIFAR10=DIR PI_RUNS=RUN:RUN python benchmarks/q08_compare_bits.py run [--full]

Trained networks whose comparisons see n bits: accuracy lost on all test pictures against exact signs, paired, with a
95 % interval; the same after training on with such signs (``pi-train finetune``), beside as much training without; the
bits that ``auto`` finds. Bytes of every backend by n are counted; milliseconds are of networks of random weights, in
turn within each repetition. The digits are always measured (trained here, cached), with PI_CIFAR10 the built-in
network, with PI_RUNS finished runs of pi-train, trained on for PI_EPOCHS epochs (0: not at all). PI_PLAINTEXT leaves
out what needs a quiet machine: milliseconds.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from measuring.documents import default_cache, once
from measuring.few_bits import Subject, accuracy_sample, cost_samples
from measuring.networks import sources_digest
from measuring.plots import COLOURS, figure, legend_above, plain_ticks, save
from measuring.question import Answer, Mode, Question, QuestionReport, Sample, commands
from measuring.side_by_side import Series, by_pair, measure_series
from measuring.statistics import Interval, ratio_interval

from pi_system.export.compare_bits import CompareBits
from pi_system.train.config import TrainConfig
from pi_system.train.data import DataConfig
from pi_system.train.job import train_run
from pi_system.train.presets import PLAIN_PRESETS

CIFAR10, RUNS, EPOCHS, PLAINTEXT = "PI_CIFAR10", "PI_RUNS", "PI_EPOCHS", "PI_PLAINTEXT"
BITS: Final = (3, 4, 5, 6, 7, 8, 9, 10)
FINETUNED: Final[tuple[CompareBits, ...]] = ("full", 3, 4, 5, 6)
RECIPE: Final = TrainConfig(epochs=2, batch_size=64, learning_rate=0.02)
DRAWS: Final = {"digits": 16}
"""Of coins; 1 of any other data set, which has more pictures."""
COST: Final[Mapping[Mode, str]] = {"quick": "resnet18:m=8", "full": "resnet18:m=64"}
"""Whose bytes are counted: random weights."""
UNITS: Final = ("online_bytes", "offline_bytes", "dealt_bytes", "stored_server_bytes", "stored_client_bytes")


def ladder(name: str, links: tuple[str, ...], repeat: int) -> tuple[Series, Series]:
    """`fss` by n, all bits first; `table`, which has no more than ten, beside `gmw`, which sees all whatever n is."""
    few = {f"n={bits}": f"{name}/compare={bits}" for bits in BITS[1::2]}
    return (
        Series(networks={"full": name} | few, links=links, repeat=repeat, backends=("fss",)),
        Series(networks=few, links=links, repeat=repeat, backends=("table", "gmw")),
    )


SERIES: Mapping[Mode, Sequence[Series]] = {
    "quick": ladder("resnet18:m=8", ("loopback", "lan"), 5),
    "full": (*ladder("resnet18:m=16", ("loopback", "lan"), 9), *ladder("resnet18:m=8,size=16", ("wan",), 3)),
}


def measure(mode: Mode, repeat: int | None) -> list[Sample]:
    """Every sample of the mode. Raises InputError: data or a run cannot be read."""
    samples = [sample for subject, run, epochs in subjects() for sample in accuracies(subject, run, epochs)]
    if folder := os.environ.get(CIFAR10):
        subject = Subject.builtin("cifar10", f"cifar10:{folder}")
        samples += [kept_sample(subject, bits, 1) for bits in ("auto", *BITS)]
    samples += cost_samples(COST[mode], ("full", *BITS))
    if not os.environ.get(PLAINTEXT):
        samples += [{"kind": "ms", **sample} for sample in measure_series(SERIES[mode], repeat)]
    return samples


def subjects() -> Iterator[tuple[Subject, Path, int]]:
    """The digits, and the runs that were named, with the epochs that they are trained on."""
    digits = _kept() / "digits"
    recipe = TrainConfig(**PLAIN_PRESETS["small"])
    train_run(digits, "resnet18:m=8", DataConfig(name="digits"), recipe)
    named = [Path(name) for name in os.environ.get(RUNS, "").split(os.pathsep) if name]
    epochs = int(os.environ.get(EPOCHS, RECIPE.epochs))
    for label, run, more in [("digits", digits, RECIPE.epochs), *((path.name, path, epochs) for path in named)]:
        yield Subject.of_run(label, run), run, more


def accuracies(subject: Subject, run: Path, epochs: int) -> Iterator[Sample]:
    """As it was trained, and trained on for some ``epochs``."""
    draws, recipe = DRAWS.get(subject.label, 1), replace(RECIPE, epochs=epochs)
    chosen: tuple[CompareBits, ...] = ("auto", *BITS)
    for bits in chosen:
        yield kept_sample(subject, bits, draws)
    for bits in FINETUNED if epochs else ():
        folder = _kept() / f"{_digest(subject)}-{bits}"
        yield kept_sample(subject.finetuned(run, bits, folder, recipe), bits, draws, subject)


def kept_sample(subject: Subject, bits: CompareBits, draws: int, source: Subject | None = None) -> Sample:
    """``accuracy_sample``, found once: a run that was stopped goes on, and its times may wait for a quiet machine."""
    networks = [_digest(each) for each in (subject, source) if each]
    pictures = len(subject.data.test.labels)
    name = "-".join([subject.label.replace(":", "-"), *networks, str(bits), f"{draws}x{pictures}"])
    return once(_kept() / f"{name}.json", accuracy_sample, subject, bits, draws, source)


def _digest(subject: Subject) -> str:
    """Of the weights: an artifact's own is salted, each export has another."""
    weights = sorted(subject.artifact.weights.items())
    return hashlib.sha256(b"".join(name.encode() + array.tobytes() for name, array in weights)).hexdigest()[:16]


def _kept() -> Path:
    return default_cache() / sources_digest() / "q08"


def answers(samples: Sequence[Sample]) -> tuple[Answer, ...]:
    """Points lost by n, bytes a ReLU by n, and times and storage beside all bits."""
    found: list[Answer] = []
    for sample in kind(samples, "accuracy"):
        name = f"{sample['network']}/{label(sample['bits'])}/{'finetuned_' * sample['finetuned']}"
        note = f"{100 * sample['exact_accuracy']:.2f} % exact, {sample['pictures']:,} pictures, {sample['draws']} draws"
        lost = Interval(*sample["loss"].values()).scaled(100)
        found.append(Answer.of(f"{name}points_lost", lost, "points", note=f"{note}, {sample['arithmetic']} point"))
        if sample["bits"] == "auto":
            chosen = sample["compare_bits"].values()
            note = f"from {min(chosen)} to {max(chosen)}, of {max(sample['all_bits'].values())} at most"
            found.append(Answer.exact(f"{name}mean_bits", sum(chosen) / len(chosen), "bits", note=note))
    for sample in kind(samples, "cost"):
        name = f"{sample['backend']}/{label(sample['bits'])}"
        for unit in UNITS:
            found.append(Answer.exact(f"{name}/{unit}_per_relu", sample[unit] / sample["relus"], "bytes/ReLU"))
    return (*found, *ratios(samples))


def ratios(samples: Sequence[Sample]) -> Iterator[Answer]:
    """All bits over n: what is saved."""
    costs = {(sample["backend"], sample["bits"]): sample for sample in kind(samples, "cost")}
    for (backend, bits), sample in costs.items():
        if backend == "fss" and bits != "full":
            stored, every = (
                one["stored_server_bytes"] + one["stored_client_bytes"] for one in (sample, costs[backend, "full"])
            )
            yield Answer.exact(f"{backend}/{label(bits)}/stored_full_over_this", every / stored, "x")
    times = by_pair(kind(samples, "ms"))
    for (backend, link), networks in times.items():
        for name, sample in networks.items():
            if backend == "fss" and name != "full":
                faster = ratio_interval(networks["full"]["online_ms"], sample["online_ms"])
                yield Answer.times(f"{backend}/{link}/{name}/online_full_over_this", faster, note=sample["network"])
            if backend == "table":
                faster = ratio_interval(times["gmw", link][name]["online_ms"], sample["online_ms"])
                yield Answer.times(f"{backend}/{link}/{name}/online_gmw_over_this", faster, note=sample["network"])


def kind(samples: Sequence[Sample], wanted: str) -> list[Sample]:
    """Those of one kind."""
    return [sample for sample in samples if sample["kind"] == wanted]


def label(bits: Any) -> str:
    """Of answers: n=8, auto, full."""
    return f"n={bits}" if str(bits).isdecimal() else str(bits)


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """Points lost against n, as trained and trained on; and bytes a ReLU against n."""
    measured = kind(report.samples, "accuracy")
    drawn, (axes,) = figure()
    for place, network in enumerate(dict.fromkeys(sample["network"] for sample in measured)):
        for finetuned in (False, True):
            points = [
                (sample["bits"], Interval(*sample["loss"].values()).scaled(100))
                for sample in measured
                if (sample["network"], sample["finetuned"]) == (network, finetuned) and isinstance(sample["bits"], int)
            ]
            if points:
                _curve(axes, points, place, f"{network}{', trained on' if finetuned else ''}", finetuned)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="bits compared, n", ylabel="points of accuracy lost", xticks=BITS)
    legend_above(drawn, axes)
    return [*save(drawn, out, "q08-accuracy"), *_draw_bytes(kind(report.samples, "cost"), out)]


def _curve(axes: Any, points: Sequence[tuple[int, Interval]], place: int, name: str, dashed: bool) -> None:
    colour = list(COLOURS.values())[place][0]
    low, high = ([getattr(one, side) for _, one in points] for side in ("low", "high"))
    bits = [n for n, _ in points]
    axes.fill_between(bits, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.plot(
        bits, [one.value for _, one in points], color=colour, label=name, marker="o", linestyle="--" if dashed else "-"
    )


def _draw_bytes(samples: Sequence[Sample], out: Path) -> list[Path]:
    shown = {"online_bytes": "online bytes a ReLU", "offline_bytes": "offline bytes a ReLU"}
    drawn, panels = figure(columns=2)
    for axes, (unit, ylabel) in zip(panels, shown.items(), strict=True):
        for backend in dict.fromkeys(sample["backend"] for sample in samples):
            own = [s for s in samples if s["backend"] == backend]
            points = [(int(s["bits"]), s[unit] / s["relus"]) for s in own if s["bits"] != "full"]
            colour, marker = COLOURS[backend]
            axes.plot(*zip(*points, strict=True), color=colour, marker=marker, label=backend)
        axes.set(yscale="log", xlabel="bits compared, n", ylabel=ylabel, xticks=BITS)
        plain_ticks(axes.yaxis)
        axes.grid(True)
    legend_above(drawn, panels[0])
    return save(drawn, out, "q08-bytes")


QUESTION = Question(
    script=__file__,
    measure=measure,
    answers=answers,
    draw=draw,
    variables={CIFAR10: "DIR", RUNS: "RUN", EPOCHS: "0", PLAINTEXT: "1"},
)
main = commands(QUESTION)

if __name__ == "__main__":
    main()
