"""q07: how do CrypTen, as its authors ship it, and SPU do on the same networks, in the same run?

    benchmarks/peers/spu/setup.sh SPU_VENV
    PI_SPU_PYTHON=SPU_VENV/bin/python python benchmarks/q07_peers.py run [--full]

Without PI_SPU_PYTHON the rest runs, and the report says that SPU was not measured. Same weights, same pictures, batch
1, loopback, each party on a core of its own; systems take turns within each repetition, the first of which makes what
is made once a session and is reported apart. ``total_ms`` is everything that one inference takes, offline and online.
CrypTen and SPU have no phases: all they do happens when the picture is there, so that our online time is compared
with their total, too. What else makes the comparison fair or unfair: peers/README.md. SEMI2K's and CrypTen's
correlations are drawn by one of the two parties, who could read the other's input: faster, and not the same trust.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from measuring.documents import default_cache
from measuring.networks import cached_artifact
from measuring.plots import COLOURS, around, figure, plain_ticks, save
from measuring.processes import HERE
from measuring.question import Answer, Mode, Question, QuestionReport, Sample, commands
from measuring.sessions import Network
from measuring.statistics import median_interval, ratio_interval
from peers.rows import Row, network_rows
from peers.systems import spu_versions

SPU_PYTHON = "PI_SPU_PYTHON"
UNSET = f"{SPU_PYTHON} was not set to an environment made by peers/spu/setup.sh"
OURS = ("fss", "gmw")
PROTOCOLS = ("SEMI2K", "CHEETAH")
LABELS = {"crypten-shipped": "CrypTen", "spu:SEMI2K": "SPU SEMI2K", "spu:CHEETAH": "SPU CHEETAH"}


NETWORKS: dict[Mode, tuple[str, ...]] = {
    "quick": ("resnet18:m=4,size=16",),
    "full": ("resnet18:m=4", "resnet18:m=16"),
}
"""Random weights, no pixel masks."""
REPEAT: dict[Mode, int] = {"quick": 9, "full": 3}


def _sample(network: Network, row: Row) -> Sample:
    total_ms = list(row["ms"]["samples"])
    phases: Sample = {}
    if row["offline_ms"] is not None:
        offline_ms = list(row["offline_ms"]["samples"])
        online_ms = [total - offline for total, offline in zip(total_ms, offline_ms, strict=True)]
        phases = {"offline_ms": offline_ms, "online_ms": online_ms, "online_bytes_samples": row["online_bytes"]}
    kept = ("link", "total_bytes_samples", "first_run", "peak_memory_bytes", "max_abs_error")
    return {
        "kind": "peer",
        **network.counts.model_dump(),
        "backend": row["system"],
        "ours": row["system"] in OURS,
        "batch": 1,
        "total_ms": total_ms,
        **phases,
        **{name: row[name] for name in kept},
    }


def answers(samples: Sequence[Sample]) -> tuple[Answer, ...]:
    """Everything the report states."""
    found, measured = list[Answer](), [sample for sample in samples if sample["kind"] == "peer"]
    for sample in measured:
        found += _own_answers(sample)
    for ours in measured:
        for theirs in measured:
            if ours["ours"] and not theirs["ours"] and ours["network"] == theirs["network"]:
                found += _ratio_answers(ours, theirs)
    missing = next((sample for sample in samples if sample["kind"] == "not_measured"), None)
    note = missing["why"] if missing else "measured"
    found.append(Answer.exact("spu/measured", 0 if missing else 1, "of 1", note=note))
    return tuple(found)


def _own_answers(sample: Sample) -> list[Answer]:
    name, peak = f"{sample['network']}/{sample['backend']}", sample["peak_memory_bytes"]
    found = [
        Answer.of(f"{name}/total_ms", median_interval(sample["total_ms"]), "ms"),
        Answer.of(f"{name}/total_bytes", median_interval(sample["total_bytes_samples"], between_runs=0.0), "bytes"),
        Answer.exact(f"{name}/max_abs_error", sample["max_abs_error"], "logit", note="largest distance to float32"),
        *(Answer.exact(f"{name}/{party}_memory_bytes", peak[party], "bytes") for party in peak),
    ]
    if "online_ms" in sample:
        found.append(Answer.of(f"{name}/online_ms", median_interval(sample["online_ms"]), "ms"))
        found.append(Answer.exact(f"{name}/online_bytes", median(sample["online_bytes_samples"]), "bytes"))
    return found


def _ratio_answers(ours: Sample, theirs: Sample) -> list[Answer]:
    name = f"{ours['network']}/{theirs['backend']}_over_{ours['backend']}"
    total = ratio_interval(theirs["total_ms"], ours["total_ms"])
    online = ratio_interval(theirs["total_ms"], ours["online_ms"])
    size = ratio_interval(theirs["total_bytes_samples"], ours["total_bytes_samples"], between_runs=0.0)
    note = "their total, since they have no offline phase, over our online time"
    return [
        Answer.times(f"{name}/total", total),
        Answer.times(f"{name}/total_to_online", online, note=note),
        Answer.of(f"{name}/bytes", size, "x"),
    ]


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """Time and bytes of every system, a figure a network; an open mark on ours is the online part."""
    measured = [sample for sample in report.samples if sample["kind"] == "peer"]
    paths: list[Path] = []
    for index, network in enumerate(dict.fromkeys(sample["network"] for sample in measured)):
        paths += _draw_network([s for s in measured if s["network"] == network], out, f"q07-peers{index or ''}")
    return paths


def _draw_network(samples: Sequence[Sample], out: Path, stem: str) -> list[Path]:
    drawn, (time, size) = figure(2, size=(6, 1.4 + 0.4 * len(samples)))
    for place, sample in enumerate(samples):
        colour, marker = COLOURS[sample["backend"]]
        found, moved = median_interval(sample["total_ms"]), median_interval(sample["total_bytes_samples"]).value / 1e6
        time.errorbar(found.value, place, xerr=around([found]), fmt=marker, color=colour, markersize=9)
        size.plot(moved, place, marker, color=colour, markersize=9)
        if "online_ms" in sample:
            online = median_interval(sample["online_ms"])
            style = {"fmt": marker, "color": colour, "markerfacecolor": "white", "markersize": 9}
            time.errorbar(online.value, place, xerr=around([online]), **style)
    for axes in (time, size):
        axes.set_yticks(range(len(samples)), [LABELS.get(one["backend"], one["backend"]) for one in samples])
        axes.set(xscale="log", ylim=(len(samples) - 0.5, -0.5))
        plain_ticks(axes.xaxis)
        axes.grid(True, axis="x")
    time.set_xlabel(f"ms an inference (open: online), {samples[0]['network']}")
    size.set_xlabel("MB an inference, both directions")
    return save(drawn, out, stem)


def measure(mode: Mode, repeat: int | None) -> list[Sample]:
    """Every sample of the mode. Raises ConfigError: PI_SPU_PYTHON is set to something without SPU."""
    python, samples = os.environ.get(SPU_PYTHON) or None, list[Sample]()
    about: Sample = {"kind": "not_measured", "backend": "spu", "why": f"SPU was not measured: {UNSET}"}
    if python is not None:
        about = {"kind": "versions", "backend": "spu", **spu_versions(python)}
    for name in NETWORKS[mode]:
        path = cached_artifact(name, default_cache())
        network, rows = network_rows(path, HERE, repeat or REPEAT[mode], OURS, (python, PROTOCOLS), shipped=True)
        samples += [_sample(network, row) for row in rows]
    return [*samples, about]


QUESTION = Question(
    script=__file__, measure=measure, answers=answers, draw=draw, variables={SPU_PYTHON: "SPU_VENV/bin/python"}
)
main = commands(QUESTION)

if __name__ == "__main__":
    main()
