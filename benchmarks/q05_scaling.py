"""q05: how do time, bytes and memory grow with the batch, with clients at once, and with the size of the picture?

    python benchmarks/q05_scaling.py run [--full]
    python benchmarks/q05_scaling.py plot benchmarks/results/quick/q05.json --out docs/img

Batch: one session, N pictures a call. Clients: N sessions with one server, each with one call after another, all
beginning at once, material prepared beforehand; all clients share one core, all server processes another. Size: one
network on larger and larger pictures. In every repetition each batch and each number of clients has its turn, each
backend within it.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click
from parts.measured_sessions import Sessions, sessions
from parts.q05_plots import draw
from parts.question_commands import Question, question_group
from platformdirs import user_cache_path

from pi_system.artifact.model import Artifact
from pi_system.artifact.store import load
from pi_system.export.random import random_pictures
from pi_system.measure import MeasuredClient, start_dealer
from pi_system.measure.memory import descendants, peak_memory_bytes
from pi_system.measure.question import Answer, Mode
from pi_system.measure.random_artifacts import SEED, cached_artifact
from pi_system.measure.reference import Reference
from pi_system.measure.runs import counts, run_all
from pi_system.measure.statistics import median_interval, ratio_interval

TITLE = "How do time, bytes and memory scale with the batch, with clients at once, and with the image size?"
Sample = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one mode measures.

    Attributes:
        network: of the batch and client parts, random weights.
        backends: of all parts.
        batches: pictures a call, ascending.
        clients: at once, ascending.
        calls: of every client in one repetition.
        sized: network of the size part, without its size.
        sizes: height and width in pixels.
        repeat: repetitions counted.
    """

    network: str
    backends: tuple[str, ...]
    batches: tuple[int, ...]
    clients: tuple[int, ...]
    calls: int
    sized: str
    sizes: tuple[int, ...]
    repeat: int


CHOICES: dict[Mode, Choice] = {
    "quick": Choice(
        network="resnet18:m=2,size=16",
        backends=("fss",),
        batches=(1, 4, 16, 64),
        clients=(1, 2, 4, 8),
        calls=4,
        sized="resnet18:m=1,classes=10",
        sizes=(32, 96, 224),
        repeat=2,
    ),
    "full": Choice(
        network="resnet18:m=2,size=16",
        backends=("fss", "gmw"),
        batches=(1, 2, 4, 8, 16, 32, 64),
        clients=(1, 2, 4, 8),
        calls=5,
        sized="resnet18:m=2,classes=10",
        sizes=(32, 64, 112, 224),
        repeat=3,
    ),
}


# ---- batch


class _Calls:
    """Calls of one backend and one batch size."""

    def __init__(self, running: Sessions, batch: int):
        self.running, self.batch = running, batch
        self.online_ms, self.offline_ms = list[float](), list[float]()
        self.fields: Sample = {}

    def call(self, reference: Reference) -> None:
        """Prepare and run one batch. Memory is taken at the first call: batches ascend, so the peak is this one's."""
        client = self.running.clients[0]
        self.offline_ms.append(client.prepare(self.batch).offline_ms)
        inference = client.infer(0, self.batch)
        cost, error = inference.cost, reference.error(0, inference.logits).absolute
        self.online_ms.append(cost.online_ms)
        self.fields.setdefault("peak_memory_bytes", self.running.peak().model_dump())
        self.fields |= {
            "online_rounds": cost.rounds,
            "online_bytes": {
                "client_to_server": cost.client_to_server_bytes,
                "server_to_client": cost.server_to_client_bytes,
            },
            "max_abs_error": max(error, self.fields.get("max_abs_error", 0.0)),
        }


def batch_samples(artifact: Artifact, path: Path, choice: Choice) -> list[Sample]:
    """A sample for every backend and batch."""
    pictures = _pictures(artifact, choice.batches[-1])
    reference = Reference(artifact, pictures)
    with tempfile.TemporaryDirectory(prefix="pi-q05-") as name, ExitStack() as stack:
        folder = Path(name)
        dealer = stack.enter_context(start_dealer(folder)).address
        running = [
            stack.enter_context(sessions(artifact, path, pictures, backend=b, dealer=dealer, folder=folder))
            for b in choice.backends
        ]
        for one in running:
            _Calls(one, 1).call(reference)  # what is made once a model, and warm caches
        cells = [_Calls(one, batch) for batch in choice.batches for one in running]
        for repetition in range(choice.repeat):
            for cell in cells:
                cell.call(reference)
                _say(f"batch {cell.batch} {cell.running.backend} {repetition}: {cell.online_ms[-1]:.0f} ms")
    return [
        {
            "kind": "batch",
            **counts(artifact).model_dump(),
            "backend": cell.running.backend,
            "link": "loopback",
            "batch": cell.batch,
            "online_ms": cell.online_ms,
            "offline_ms": cell.offline_ms,
            **cell.fields,
        }
        for cell in cells
    ]


# ---- clients at once


def client_samples(artifact: Artifact, path: Path, backend: str, choice: Choice) -> list[Sample]:
    """A sample for every number of clients at once."""
    pictures = _pictures(artifact, 8)
    reference = Reference(artifact, pictures)
    found: dict[int, Sample] = {
        count: {"throughput_per_s": [], "online_ms": [], "max_abs_error": 0.0} for count in choice.clients
    }
    with (
        tempfile.TemporaryDirectory(prefix="pi-q05-") as name,
        start_dealer(Path(name)) as dealer,
        sessions(
            artifact,
            path,
            pictures,
            backend=backend,
            dealer=dealer.address,
            folder=Path(name),
            clients=choice.clients[-1],
        ) as running,
    ):
        for client in running.clients:
            client.prepare(1)
            client.infer(0, 1)
        for repetition in range(choice.repeat):
            for count, sample in found.items():
                throughput, online_ms, error = at_once(running.clients[:count], choice.calls, reference)
                sample["throughput_per_s"].append(throughput)
                sample["online_ms"] += online_ms
                sample["max_abs_error"] = max(error, sample["max_abs_error"])
                _say(f"{count} clients {backend} {repetition}: {throughput:.2f}/s")
        memory = sum(map(peak_memory_bytes, descendants(running.server.pid)))
    about = {"kind": "clients", **counts(artifact).model_dump(), "backend": backend, "link": "loopback", "batch": 1}
    return [
        {
            **about,
            "clients": n,
            "calls": choice.calls,
            "server_memory_bytes": memory,
            "server_sessions": choice.clients[-1],
            **sample,
        }
        for n, sample in found.items()
    ]


def at_once(clients: Sequence[MeasuredClient], calls: int, reference: Reference) -> tuple[float, list[float], float]:
    """All clients begin together: inferences a second until the last is done, each one's online ms, largest error."""
    ends, online_ms, errors = list[float](), list[float](), list[float]()
    lock, barrier = threading.Lock(), threading.Barrier(len(clients) + 1)

    def work(client: MeasuredClient) -> None:
        try:
            client.prepare(calls)
        except BaseException:
            barrier.abort()
            raise
        barrier.wait()
        for index in range(calls):
            inference = client.infer(index % 8, 1)
            with lock:
                online_ms.append(inference.cost.online_ms)
                errors.append(reference.error(index % 8, inference.logits).absolute)
        with lock:
            ends.append(time.perf_counter())

    with ThreadPoolExecutor(len(clients)) as pool:
        work_done = [pool.submit(work, client) for client in clients]
        try:
            barrier.wait()
            start_s = time.perf_counter()
        except threading.BrokenBarrierError:
            start_s = 0.0  # the failed client's error follows
        for done in work_done:
            if (error := done.exception()) is not None and not isinstance(error, threading.BrokenBarrierError):
                raise error
    return len(clients) * calls / (max(ends) - start_s), online_ms, max(errors)


# ---- image size


def size_samples(choice: Choice) -> list[Sample]:
    """A sample for every backend and size."""
    paths = {size: _artifact(f"{choice.sized},size={size}") for size in choice.sizes}
    found = []
    for size, path in paths.items():
        artifact = load(path)
        for result in run_all({path: artifact}, choice.backends, ("loopback",), choice.repeat, 1):
            fields = result.model_dump()
            fields["online_ms"], fields["offline_ms"] = fields["online_ms"]["samples"], fields["offline_ms_samples"]
            found.append({"kind": "size", "size": size, **counts(artifact).model_dump(), **fields})
    return found


# ---- answers, from the samples only


def answers(samples: Sequence[Sample]) -> tuple[Answer, ...]:
    """Everything the report states."""
    parts = {"batch": _batch_answers, "clients": _client_answers, "size": _size_answers}
    found: list[Answer] = []
    for kind, part in parts.items():
        for backend in dict.fromkeys(s["backend"] for s in samples if s["kind"] == kind):
            found += part(backend, [s for s in samples if s["kind"] == kind and s["backend"] == backend])
    sized = [s for s in samples if s["kind"] == "size"]
    for sample in sized:
        base = next(s for s in sized if s["size"] == sample["size"])
        if sample is not base:
            name = f"{sample['backend']}/size={sample['size']}/online_ms_over_{base['backend']}"
            found.append(Answer.of(name, ratio_interval(sample["online_ms"], base["online_ms"]), "x", ratio=True))
    return tuple(found)


def _batch_answers(backend: str, samples: list[Sample]) -> list[Answer]:
    found, one = [], samples[0]
    for sample in samples:
        batch, name = sample["batch"], f"{backend}/batch={sample['batch']}"
        a_picture = [ms / batch for ms in sample["online_ms"]]
        size = sum(sample["online_bytes"].values()) / batch
        found += [
            Answer.of(f"{name}/online_ms_per_picture", median_interval(a_picture), "ms"),
            Answer.exact(f"{name}/online_bytes_per_picture", size, "bytes"),
            *_memory(name, sample),
        ]
        if sample is not one:
            ratio = ratio_interval(a_picture, [ms / one["batch"] for ms in one["online_ms"]])
            found.append(Answer.of(f"{name}/ms_per_picture_over_batch_{one['batch']}", ratio, "x", ratio=True))
    return found


def _client_answers(backend: str, samples: list[Sample]) -> list[Answer]:
    found, one = [], samples[0]
    for sample in samples:
        name = f"{backend}/clients={sample['clients']}"
        found.append(Answer.of(f"{name}/throughput_per_s", median_interval(sample["throughput_per_s"]), "1/s"))
        found.append(Answer.of(f"{name}/online_ms", median_interval(sample["online_ms"]), "ms"))
        if sample is not one:
            ratio = ratio_interval(sample["throughput_per_s"], one["throughput_per_s"])
            found.append(Answer.of(f"{name}/throughput_over_{one['clients']}", ratio, "x", ratio=True))
    return found


def _size_answers(backend: str, samples: list[Sample]) -> list[Answer]:
    found = []
    for sample in samples:
        name = f"{backend}/size={sample['size']}"
        us = [1000 * ms / sample["relus"] for ms in sample["online_ms"]]
        found += [
            Answer.of(f"{name}/online_ms", median_interval(sample["online_ms"]), "ms"),
            Answer.of(f"{name}/us_per_relu", median_interval(us), "us/ReLU"),
            Answer.exact(f"{name}/online_bytes", sum(sample["online_bytes"].values()), "bytes"),
            *_memory(name, sample),
        ]
    return found


def _memory(name: str, sample: Sample) -> list[Answer]:
    note = "peak resident set of one run, offline phase included"
    peak = sample["peak_memory_bytes"]
    return [Answer.exact(f"{name}/{party}_memory_bytes", peak[party], "bytes", note=note) for party in peak]


# ---- commands


def measure(mode: Mode, repeat: int | None) -> list[Sample]:
    """Every sample of the mode."""
    choice = CHOICES[mode] if repeat is None else replace(CHOICES[mode], repeat=repeat)
    path = _artifact(choice.network)
    artifact = load(path)
    samples = batch_samples(artifact, path, choice)
    for backend in choice.backends:
        samples += client_samples(artifact, path, backend, choice)
    samples += size_samples(choice)
    return samples


def _artifact(name: str) -> Path:
    return cached_artifact(name, user_cache_path("pi-system") / "artifacts")


def _pictures(artifact: Artifact, count: int) -> Any:
    preprocess = artifact.public.preprocess
    return random_pictures((preprocess.channels, preprocess.height, preprocess.width), count, SEED)


def _say(text: str) -> None:
    click.echo(f"q05 {text}", err=True)


QUESTION = Question(
    name="q05",
    title=TITLE,
    script="q05_scaling.py",
    measure=measure,
    answers=answers,
    draw=draw,
)
main = question_group(QUESTION)

if __name__ == "__main__":
    main()
