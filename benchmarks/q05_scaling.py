"""q05: how do time, bytes and memory grow with the batch, with clients at once, and with the size of the picture?

    python benchmarks/q05_scaling.py run [--full]
    python benchmarks/q05_scaling.py plot benchmarks/results/quick/q05.json --out docs/img

Batch: one session, N pictures a call. Clients: N sessions with one server, each with one call after another, all
beginning at once, material prepared beforehand; all clients share one core, all server processes another. Size: one
network on larger and larger pictures. In every repetition each batch and each number of clients has its turn, each
backend within it.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from measuring.documents import default_cache, say
from measuring.latency import run_all
from measuring.memory import peak_memory_bytes
from measuring.networks import cached_artifact, counts
from measuring.plots import COLOURS, figure, line, plain_ticks, save, ticks_at
from measuring.processes import descendants, start_dealer, start_server
from measuring.question import Answer, Mode, Question, QuestionReport, Sample
from measuring.reference import NO_ERROR
from measuring.schema import PartyBytes
from measuring.sessions import Network, Session, open_session, session
from measuring.statistics import Interval, median_interval, ratio_interval

from pi_system.artifact.store import load

PICTURES = 8
"""Of each client, in turn."""


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

    network: str = "resnet18:m=2,size=16"
    backends: tuple[str, ...]
    batches: tuple[int, ...]
    clients: tuple[int, ...] = (1, 2, 4, 8)
    calls: int
    sized: str
    sizes: tuple[int, ...]
    repeat: int


CHOICES: dict[Mode, Choice] = {
    "quick": Choice(
        backends=("fss",),
        batches=(1, 4, 16, 64),
        calls=4,
        sized="resnet18:m=1,classes=10",
        sizes=(32, 96, 224),
        repeat=2,
    ),
    "full": Choice(
        backends=("fss", "gmw"),
        batches=(1, 2, 4, 8, 16, 32, 64),
        calls=5,
        sized="resnet18:m=2,classes=10",
        sizes=(32, 64, 112, 224),
        repeat=3,
    ),
}


def batch_samples(path: Path, choice: Choice) -> list[Sample]:
    """A sample for every backend and batch. Memory is taken at the first call: batches ascend, so the peak is its."""
    with tempfile.TemporaryDirectory(prefix="pi-q05-") as name, ExitStack() as stack:
        folder = Path(name)
        network = Network(path, choice.batches[-1], folder)
        dealer = stack.enter_context(start_dealer(folder)).address
        running = [stack.enter_context(session(network, b, dealer, folder / b)) for b in choice.backends]
        for one in running:
            one.call(0)  # what is made once a model, and warm caches
        cells = [
            (batch, replace(one, online=[], offline=[], stored=[], worst=NO_ERROR))
            for batch in choice.batches
            for one in running
        ]
        peaks: list[PartyBytes] = []
        for repetition in range(choice.repeat):
            for batch, cell in cells:
                online_ms = cell.call(0, batch).cost.online_ms
                peaks += [cell.peak()] if repetition == 0 else []
                say(f"q05 batch {batch} {cell.backend} {repetition}: {online_ms:.0f} ms")
    return [_batch_sample(batch, cell, peak) for (batch, cell), peak in zip(cells, peaks, strict=True)]


def _batch_sample(batch: int, cell: Session, peak: PartyBytes) -> Sample:
    last = cell.online[-1]
    return {
        "kind": "batch",
        **cell.network.counts.model_dump(),
        "backend": cell.backend,
        "link": "loopback",
        "batch": batch,
        "online_ms": [cost.online_ms for cost in cell.online],
        "offline_ms": [cost.offline_ms for cost in cell.offline],
        "peak_memory_bytes": peak.model_dump(),
        "online_rounds": last.rounds,
        "online_bytes": {
            "client_to_server": last.client_to_server_bytes,
            "server_to_client": last.server_to_client_bytes,
        },
        "max_abs_error": cell.worst.absolute,
    }


def client_samples(path: Path, backend: str, choice: Choice) -> list[Sample]:
    """A sample for every number of clients at once."""
    throughputs: dict[int, list[float]] = {count: [] for count in choice.clients}
    online_ms: dict[int, list[float]] = {count: [] for count in choice.clients}
    with tempfile.TemporaryDirectory(prefix="pi-q05-") as name, ExitStack() as stack:
        network = Network(path, PICTURES, Path(name))
        running = open_clients(stack, network, backend, choice.clients[-1], Path(name))
        for one in running:
            one.call(0)
        for repetition in range(choice.repeat):
            for count in choice.clients:
                throughput, found_ms = at_once(running[:count], choice.calls)
                throughputs[count].append(throughput)
                online_ms[count] += found_ms
                say(f"q05 {count} clients {backend} {repetition}: {throughput:.2f}/s")
        memory = sum(map(peak_memory_bytes, descendants(running[0].server.pid)))
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


def open_clients(stack: ExitStack, network: Network, backend: str, count: int, folder: Path) -> list[Session]:
    """So many sessions with one server, opened at once."""
    dealer = stack.enter_context(start_dealer(folder)).address
    server = stack.enter_context(start_server(network.path, dealer, folder, backends=(backend,), max_sessions=count))
    names = [f"client-{index}" for index in range(count)]
    with ThreadPoolExecutor(count) as pool:
        opened = pool.map(lambda name: open_session(stack, network, backend, server, dealer, name=name), names)
        return list(opened)


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
        for backend in dict.fromkeys(s["backend"] for s in samples if s["kind"] == kind):
            found += part(backend, [s for s in samples if s["kind"] == kind and s["backend"] == backend])
    sized = [s for s in samples if s["kind"] == "size"]
    for sample in sized:
        base = next(s for s in sized if s["size"] == sample["size"])
        if sample is not base:
            name = f"{sample['backend']}/size={sample['size']}/online_ms_over_{base['backend']}"
            found.append(Answer.times(name, ratio_interval(sample["online_ms"], base["online_ms"])))
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
            found.append(Answer.times(f"{name}/ms_per_picture_over_batch_{one['batch']}", ratio))
    return found


def _client_answers(backend: str, samples: list[Sample]) -> list[Answer]:
    found, one = [], samples[0]
    for sample in samples:
        name = f"{backend}/clients={sample['clients']}"
        found.append(Answer.of(f"{name}/throughput_per_s", median_interval(sample["throughput_per_s"]), "1/s"))
        found.append(Answer.of(f"{name}/online_ms", median_interval(sample["online_ms"]), "ms"))
        if sample is not one:
            ratio = ratio_interval(sample["throughput_per_s"], one["throughput_per_s"])
            found.append(Answer.times(f"{name}/throughput_over_{one['clients']}", ratio))
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


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """Batch, clients and size, a figure each: time above, memory or throughput with it."""
    paths = []
    for kind, x, xlabel, ylabel, value in (
        ("batch", "batch", "pictures a call", "online ms a picture", _ms_a_picture),
        ("clients", "clients", "clients at once", "online ms", _online_ms),
        ("size", "size", "height and width, pixels", "online ms", _online_ms),
    ):
        samples = [sample for sample in report.samples if sample["kind"] == kind]
        drawn, panels = figure(2)
        time_panel, other = panels[::-1] if kind == "clients" else panels
        _lines(time_panel, samples, x, value, ylabel)
        if kind == "clients":
            _lines(other, samples, x, _throughput, "inferences a second, online")
        else:
            _memory_lines(other, samples, x)
        if kind == "size":
            time_panel.set_yscale("log")
            plain_ticks(time_panel.yaxis)
        elif kind == "clients":
            time_panel.set_ylim(bottom=0)
            other.set_ylim(bottom=0)
        for axes in panels:
            ticks_at(axes, sorted({sample[x] for sample in samples}), xlabel, value="log", base=2)
        paths += save(drawn, out, f"q05-{kind}")
    return paths


def _ms_a_picture(sample: Sample) -> Interval:
    return median_interval([ms / sample["batch"] for ms in sample["online_ms"]])


def _online_ms(sample: Sample) -> Interval:
    return median_interval(sample["online_ms"])


def _throughput(sample: Sample) -> Interval:
    return median_interval(sample["throughput_per_s"])


def _of_each(samples: Sequence[Sample]) -> list[tuple[str, list[Sample]]]:
    names = dict.fromkeys(sample["backend"] for sample in samples)
    return [(name, [sample for sample in samples if sample["backend"] == name]) for name in names]


def _lines(axes: Any, samples: Sequence[Sample], x: str, value: Callable[[Sample], Interval], label: str) -> None:
    for backend, mine in _of_each(samples):
        line(axes, [sample[x] for sample in mine], [value(sample) for sample in mine], backend)
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
