"""q07: how do CrypTen, as its authors ship it, and SPU do on the same networks, in the same run?

    benchmarks/peers/spu/setup.sh SPU_VENV
    PI_SPU_PYTHON=SPU_VENV/bin/python python benchmarks/q07_peers.py run [--full]
    python benchmarks/q07_peers.py plot benchmarks/results/quick/q07.json --out docs/img

Without PI_SPU_PYTHON the rest runs, and the report says that SPU was not measured. Same weights, same pictures, batch
1, loopback, each party on a core of its own; systems take turns within each repetition, the first of which makes what
is made once a session and is reported apart. ``total_ms`` is everything that one inference takes, offline and online.
CrypTen and SPU have no phases: all they do happens when the picture is there, so that our online time is compared
with their total, too. What else makes the comparison fair or unfair: peers/README.md. SEMI2K's and CrypTen's
correlations are drawn by one of the two parties, who could read the other's input: faster, and not the same trust.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from parts.q07_plots import draw
from parts.question_commands import Question, question_group
from platformdirs import user_cache_path
from rows import FIRST, Row, take_turns
from spu_pair import compile_program, spu_commands, spu_versions
from systems import Place, System, crypten_shipped, line_pair, our_pair

from pi_system.artifact.model import Artifact
from pi_system.artifact.store import load
from pi_system.export.random import random_pictures
from pi_system.measure import start_dealer
from pi_system.measure.question import Answer, Mode
from pi_system.measure.random_artifacts import SEED, cached_artifact
from pi_system.measure.reference import Reference
from pi_system.measure.runs import counts
from pi_system.measure.statistics import median_interval, ratio_interval

TITLE = "How do CrypTen, as its authors ship it, and SPU do on the same networks?"
SPU_PYTHON = "PI_SPU_PYTHON"
OURS = ("fss", "gmw")
PROTOCOLS = ("SEMI2K", "CHEETAH")
_PLACE = Place(name="loopback", link="loopback")
Sample = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one mode measures: networks of random weights without pixel masks, repetitions counted."""

    networks: tuple[str, ...]
    repeat: int


CHOICES: dict[Mode, Choice] = {
    "quick": Choice(networks=("resnet18:m=4,size=16",), repeat=9),
    "full": Choice(networks=("resnet18:m=4", "resnet18:m=16"), repeat=3),
}


def network_samples(artifact: Artifact, path: Path, repeat: int, spu_python: str | None) -> list[Sample]:
    """A sample for every system on one network."""
    preprocess, runs = artifact.public.preprocess, FIRST + repeat
    pictures = random_pictures((preprocess.channels, preprocess.height, preprocess.width), runs, SEED)
    reference = Reference(artifact, pictures)

    def error(system: str, index: int, logits: NDArray[np.float64]) -> float:
        return reference.error(index, logits.reshape(1, -1)).absolute

    with tempfile.TemporaryDirectory(prefix="pi-q07-") as name, ExitStack() as stack:
        folder = Path(name)
        saved = folder / "pictures.npy"
        np.save(saved, pictures)
        dealer, digest = stack.enter_context(start_dealer(folder)).address, artifact.public.digest
        systems: list[System] = [
            stack.enter_context(our_pair(backend, path, digest, saved, _PLACE, folder, dealer)) for backend in OURS
        ]
        systems.append(stack.enter_context(crypten_shipped(path, saved, _PLACE, folder)))
        if spu_python is not None:
            safetensors.numpy.save_file({"image": pictures[:, None]}, folder / "client.safetensors")
            compile_program(spu_python, [str(path)], folder)
            inputs = (path / "weights.safetensors", folder / "client.safetensors")
            for protocol in PROTOCOLS:
                commands = spu_commands(spu_python, protocol, _PLACE, inputs, folder)
                systems.append(stack.enter_context(line_pair(f"spu:{protocol}", commands, _PLACE, folder)))
        rows = take_turns(runs, _PLACE, artifact.public.name, systems, error)
    return [_sample(artifact, row) for row in rows]


def _sample(artifact: Artifact, row: Row) -> Sample:
    total_ms = list(row["ms"]["samples"])
    phases: Sample = {}
    if row["offline_ms"] is not None:
        offline_ms = list(row["offline_ms"]["samples"])
        online_ms = [total - offline for total, offline in zip(total_ms, offline_ms, strict=True)]
        phases = {"offline_ms": offline_ms, "online_ms": online_ms, "online_bytes_samples": row["online_bytes"]}
    kept = ("link", "total_bytes_samples", "first_run", "peak_memory_bytes", "max_abs_error")
    return {
        "kind": "peer",
        **counts(artifact).model_dump(),
        "backend": row["system"],
        "ours": row["system"] in OURS,
        "batch": 1,
        "total_ms": total_ms,
        **phases,
        **{name: row[name] for name in kept},
    }


# ---- answers, from the samples only


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
        size = statistics.median(sample["online_bytes_samples"])
        found.append(Answer.of(f"{name}/online_ms", median_interval(sample["online_ms"]), "ms"))
        found.append(Answer.exact(f"{name}/online_bytes", size, "bytes"))
    return found


def _ratio_answers(ours: Sample, theirs: Sample) -> list[Answer]:
    name = f"{ours['network']}/{theirs['backend']}_over_{ours['backend']}"
    total = ratio_interval(theirs["total_ms"], ours["total_ms"])
    online = ratio_interval(theirs["total_ms"], ours["online_ms"])
    size = ratio_interval(theirs["total_bytes_samples"], ours["total_bytes_samples"], between_runs=0.0)
    note = "their total, since they have no offline phase, over our online time"
    return [
        Answer.of(f"{name}/total", total, "x", ratio=True),
        Answer.of(f"{name}/total_to_online", online, "x", ratio=True, note=note),
        Answer.of(f"{name}/bytes", size, "x"),
    ]


# ---- commands


def measure(mode: Mode, repeat: int | None) -> list[Sample]:
    """Every sample of the mode. Raises ConfigError: PI_SPU_PYTHON is set to something without SPU."""
    choice = CHOICES[mode] if repeat is None else replace(CHOICES[mode], repeat=repeat)
    spu_python = os.environ.get(SPU_PYTHON) or None
    versions = spu_versions(spu_python) if spu_python else None
    samples: list[Sample] = []
    for name in choice.networks:
        path = cached_artifact(name, user_cache_path("pi-system") / "artifacts")
        samples += network_samples(load(path), path, choice.repeat, spu_python)
    if versions is None:
        why = f"SPU was not measured: {SPU_PYTHON} was not set to an environment made by peers/spu/setup.sh"
        samples.append({"kind": "not_measured", "backend": "spu", "why": why})
    else:
        samples.append({"kind": "versions", "backend": "spu", **versions})
    return samples


QUESTION = Question(
    name="q07",
    title=TITLE,
    script="q07_peers.py",
    measure=measure,
    answers=answers,
    draw=draw,
    variables={SPU_PYTHON: "SPU_VENV/bin/python"},
)
main = question_group(QUESTION)

if __name__ == "__main__":
    main()
