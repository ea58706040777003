"""q05: how do time, bytes and memory grow with the batch, with clients at once, and with the size of the picture?

    python benchmarks/q05_scaling.py run [--full]
    python benchmarks/q05_scaling.py plot benchmarks/results/quick/q05.json --out docs/img

Batch: one session, N pictures a call. Clients: N sessions with one server, each with one call after another, all
beginning at once, material prepared beforehand; all clients share one core, all server processes another. Size: one
network on larger and larger pictures. In every repetition each batch and each number of clients has its turn, each
backend within it.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from measuring.documents import default_cache, say
from measuring.latency import run_all
from measuring.memory import peak_memory_bytes
from measuring.networks import cached_artifact, counts
from measuring.plots import COLOURS, figure, line, plain_ticks, save, ticks_at
from measuring.processes import HERE, descendants
from measuring.question import Answer, Mode, Question, QuestionReport, Sample
from measuring.schema import PartyBytes
from measuring.sessions import Combination, Session, in_turn
from measuring.statistics import median_interval, ratio_interval

from pi_system.artifact.store import load

PICTURES = 8
"""Of each client, in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one mode measures: ``network`` in batches and with clients, both ascending, ``sized`` on these sizes.

    Every client makes ``calls`` in one repetition; sizes are in pixels.
    """

    network: str = "resnet18:m=2,size=16"
    backends: tuple[str, ...]
    batches: tuple[int, ...]
    clients: tuple[int, ...] = (1, 2, 4, 8)
    calls: int
    sized: str
    sizes: tuple[int, ...]
    repeat: int


QUICK = Choice(
    backends=("fss",), batches=(1, 4, 16, 64), calls=4, sized="resnet18:m=1,classes=10", sizes=(32, 96, 224), repeat=2
)
FULL = Choice(
    backends=("fss", "gmw"),
    batches=(1, 2, 4, 8, 16, 32, 64),
    calls=5,
    sized="resnet18:m=2,classes=10",
    sizes=(32, 64, 112, 224),
    repeat=3,
)
CHOICES: dict[Mode, Choice] = {"quick": QUICK, "full": FULL}


def batch_samples(path: Path, choice: Choice) -> list[Sample]:
    """A sample for every backend and batch. Memory is taken at the first call: batches ascend, so the peak is its."""
    combinations: list[Combination] = [(backend, HERE, "logits") for backend in choice.backends]
    with in_turn([path], combinations, choice.batches[-1]) as running:
        for one in running:
            one.call(0)  # what is made once a model, and warm caches
        peaks: dict[tuple[int, str], PartyBytes] = {}
        for repetition in range(choice.repeat):
            for batch in choice.batches:
                for one in running:
                    online_ms = one.call(0, batch).cost.online_ms
                    peaks.setdefault((batch, one.backend), one.peak())
                    say(f"q05 batch {batch} {one.backend} {repetition}: {online_ms:.0f} ms")
        places = [(place, batch, one) for place, batch in enumerate(choice.batches) for one in running]
        step = len(choice.batches)
        return [
            _batch_sample(batch, one, slice(1 + place, None, step), peaks[batch, one.backend])
            for place, batch, one in places
        ]


def _batch_sample(batch: int, found: Session, calls: slice, peak: PartyBytes) -> Sample:
    """Of the calls of one batch size, which took turns with the others."""
    last = found.online[calls][-1]
    return {
        "kind": "batch",
        **found.network.counts.model_dump(),
        "backend": found.backend,
        "link": "loopback",
        "batch": batch,
        "online_ms": [cost.online_ms for cost in found.online[calls]],
        "offline_ms": [cost.offline_ms for cost in found.offline[calls]],
        "peak_memory_bytes": peak.model_dump(),
        "online_rounds": last.rounds,
        "online_bytes": {
            "client_to_server": last.client_to_server_bytes,
            "server_to_client": last.server_to_client_bytes,
        },
        "max_abs_error": found.worst.absolute,
    }


def client_samples(path: Path, backend: str, choice: Choice) -> list[Sample]:
    """A sample for every number of clients at once."""
    throughputs: dict[int, list[float]] = {count: [] for count in choice.clients}
    online_ms: dict[int, list[float]] = {count: [] for count in choice.clients}
    combinations: list[Combination] = [(backend, HERE, "logits")] * choice.clients[-1]
    with in_turn([path], combinations, PICTURES, shared=True) as running:
        for one in running:
            one.call(0)
        for repetition in range(choice.repeat):
            for count in choice.clients:
                throughput, found_ms = at_once(running[:count], choice.calls)
                throughputs[count].append(throughput)
                online_ms[count] += found_ms
                say(f"q05 {count} clients {backend} {repetition}: {throughput:.2f}/s")
        memory = sum(map(peak_memory_bytes, descendants(running[0].server.pid)))
    network = running[0].network
    about = {"kind": "clients", **network.counts.model_dump(), "backend": backend, "link": "loopback", "batch": 1}
    return [
        {
            **about,
            "clients": count,
            "calls": choice.calls,
            "server_memory_bytes": memory,
            "server_sessions": choice.clients[-1],
            "throughput_per_s": throughputs[count],
            "online_ms": online_ms[count],
            "max_abs_error": max(one.worst.absolute for one in running[:count]),
        }
        for count in choice.clients
    ]


def at_once(sessions: Sequence[Session], calls: int) -> tuple[float, list[float]]:
    """All clients begin together: inferences a second until the last is done, and each one's online ms."""
    ends, barrier = list[float](), threading.Barrier(len(sessions) + 1)

    def work(session: Session) -> list[float]:
        try:
            session.prepare(calls)
        except BaseException:
            barrier.abort()
            raise
        barrier.wait()
        found = [session.infer(index % PICTURES).cost.online_ms for index in range(calls)]
        ends.append(time.perf_counter())
        return found

    with ThreadPoolExecutor(len(sessions)) as pool:
        started = [pool.submit(work, session) for session in sessions]
        try:
            barrier.wait()
            start_s = time.perf_counter()
        except threading.BrokenBarrierError:
            start_s = 0.0  # the failed client's error follows
        for done in started:
            if (error := done.exception()) is not None and not isinstance(error, threading.BrokenBarrierError):
                raise error
    online_ms = [ms for done in started for ms in done.result()]
    return len(online_ms) / (max(ends) - start_s), online_ms


def size_samples(choice: Choice) -> list[Sample]:
    """A sample for every backend and size."""
    found = []
    for size in choice.sizes:
        path = cached_artifact(f"{choice.sized},size={size}", default_cache())
        about = {"kind": "size", "size": size, **counts(load(path)).model_dump()}
        for result in run_all([path], choice.backends, ("loopback",), choice.repeat, 1):
            samples = {"online_ms": list(result.online_ms.samples), "offline_ms": list(result.offline_ms_samples)}
            found.append({**about, **result.model_dump(), **samples})
    return found


def answers(samples: Sequence[Sample]) -> tuple[Answer, ...]:
    """Everything the report states."""
    parts = {"batch": _batch_answers, "clients": _client_answers, "size": _size_answers}
    found: list[Answer] = []
    for kind, part in parts.items():
        for backend, mine in _of_each([sample for sample in samples if sample["kind"] == kind]):
            for sample in mine:
                found += part(f"{backend}/{kind}={sample[kind]}", sample, mine[0])
    sized = [s for s in samples if s["kind"] == "size"]
    for sample in sized:
        base = next(s for s in sized if s["size"] == sample["size"])
        if sample is not base:
            name = f"{sample['backend']}/size={sample['size']}/online_ms_over_{base['backend']}"
            found.append(Answer.times(name, ratio_interval(sample["online_ms"], base["online_ms"])))
    return tuple(found)


def _batch_answers(name: str, sample: Sample, one: Sample) -> list[Answer]:
    a_picture, of_one = ([ms / s["batch"] for ms in s["online_ms"]] for s in (sample, one))
    size = sum(sample["online_bytes"].values()) / sample["batch"]
    found = [
        Answer.of(f"{name}/online_ms_per_picture", median_interval(a_picture), "ms"),
        Answer.exact(f"{name}/online_bytes_per_picture", size, "bytes"),
        *_memory(name, sample),
    ]
    beside = Answer.times(f"{name}/ms_per_picture_over_batch_{one['batch']}", ratio_interval(a_picture, of_one))
    return found if sample is one else [*found, beside]


def _client_answers(name: str, sample: Sample, one: Sample) -> list[Answer]:
    ratio = ratio_interval(sample["throughput_per_s"], one["throughput_per_s"])
    found = [
        Answer.of(f"{name}/throughput_per_s", median_interval(sample["throughput_per_s"]), "1/s"),
        Answer.of(f"{name}/online_ms", median_interval(sample["online_ms"]), "ms"),
    ]
    return found if sample is one else [*found, Answer.times(f"{name}/throughput_over_{one['clients']}", ratio)]


def _size_answers(name: str, sample: Sample, one: Sample) -> list[Answer]:
    us = [1000 * ms / sample["relus"] for ms in sample["online_ms"]]
    return [
        Answer.of(f"{name}/online_ms", median_interval(sample["online_ms"]), "ms"),
        Answer.of(f"{name}/us_per_relu", median_interval(us), "us/ReLU"),
        Answer.exact(f"{name}/online_bytes", sum(sample["online_bytes"].values()), "bytes"),
        *_memory(name, sample),
    ]


def _memory(name: str, sample: Sample) -> list[Answer]:
    note = "peak resident set of one run, offline phase included"
    peak = sample["peak_memory_bytes"]
    return [Answer.exact(f"{name}/{party}_memory_bytes", peak[party], "bytes", note=note) for party in peak]


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """Batch, clients and size, a figure each: time, and memory or throughput with it."""
    paths = []
    for kind, xlabel in (
        ("batch", "pictures a call"),
        ("clients", "clients at once"),
        ("size", "height and width, pixels"),
    ):
        samples = [sample for sample in report.samples if sample["kind"] == kind]
        drawn, (above, below) = figure(2)
        if kind == "clients":
            _lines(above, samples, kind, "throughput_per_s", "inferences a second, online")
            _lines(below, samples, kind, "online_ms", "online ms")
            above.set_ylim(bottom=0)
            below.set_ylim(bottom=0)
        else:
            _lines(above, samples, kind, "online_ms", "online ms a picture" if kind == "batch" else "online ms")
            _memory_lines(below, samples, kind)
        if kind == "size":
            above.set_yscale("log")
            plain_ticks(above.yaxis)
        for axes in (above, below):
            ticks_at(axes, sorted({sample[kind] for sample in samples}), xlabel, value="log", base=2)
        paths += save(drawn, out, f"q05-{kind}")
    return paths


def _of_each(samples: Sequence[Sample]) -> list[tuple[str, list[Sample]]]:
    names = dict.fromkeys(sample["backend"] for sample in samples)
    return [(name, [sample for sample in samples if sample["backend"] == name]) for name in names]


def _lines(axes: Any, samples: Sequence[Sample], x: str, key: str, label: str) -> None:
    for backend, mine in _of_each(samples):
        found = [median_interval([value / s.get("batch", 1) for value in s[key]]) for s in mine]
        line(axes, [sample[x] for sample in mine], found, backend)
    axes.set_ylabel(label)
    axes.legend()


def _memory_lines(axes: Any, samples: Sequence[Sample], x: str) -> None:
    for backend, mine in _of_each(samples):
        colour, marker = COLOURS[backend]
        for party, style in (("server", "-"), ("client", "--")):
            values = [sample["peak_memory_bytes"][party] / 1e6 for sample in mine]
            label = f"{backend}, {party}"
            axes.plot([s[x] for s in mine], values, color=colour, marker=marker, linestyle=style, label=label)
    axes.set_ylabel("peak memory, MB")
    axes.margins(y=0.15)
    axes.set_ylim(bottom=0)
    axes.legend()


def measure(mode: Mode, repeat: int | None) -> list[Sample]:
    """Every sample of the mode."""
    choice = CHOICES[mode] if repeat is None else replace(CHOICES[mode], repeat=repeat)
    path = cached_artifact(choice.network, default_cache())
    samples = batch_samples(path, choice)
    for backend in choice.backends:
        samples += client_samples(path, backend, choice)
    return samples + size_samples(choice)


QUESTION = Question(script=__file__, measure=measure, answers=answers, draw=draw)
main = QUESTION.commands()

if __name__ == "__main__":
    main()
