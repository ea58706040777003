"""q05: how do time, bytes and memory grow with the batch, with clients at once, and with the size of the picture?

Batch: one session, N pictures a call. Clients: N sessions with one server, each with one call after another, all
beginning at once, material prepared beforehand; all clients share one core, all server processes another. Size: one
network on larger and larger pictures. In every repetition each batch and each number of clients has its turn, each
backend within it.
"""

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
from measuring.question import Answer, Mode, Question, QuestionReport, Sample, by_backend, commands
from measuring.sessions import Session, in_turn
from measuring.statistics import median_interval, ratio_interval

from pi_system.artifact.store import load

PICTURES = 8
"""Of each client, in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
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


QUICK = Scales(
    backends=("fss",), batches=(1, 4, 16, 64), calls=4, sized="resnet18:m=1,classes=10", sizes=(32, 96, 224), repeat=2
)
FULL = Scales(
    backends=("fss", "gmw"),
    batches=(1, 2, 4, 8, 16, 32, 64),
    calls=5,
    sized="resnet18:m=2,classes=10",
    sizes=(32, 64, 112, 224),
    repeat=3,
)
SCALES: dict[Mode, Scales] = {"quick": QUICK, "full": FULL}


def batch_samples(path: Path, scales: Scales) -> list[Sample]:
    """A sample for every backend and batch. Memory is taken at the first call: batches ascend, so the peak is its."""
    found: dict[tuple[int, str], Sample] = {}
    with in_turn([path], [(backend, HERE, "logits") for backend in scales.backends], scales.batches[-1]) as running:
        for one in running:
            one.call(0)  # what is made once a model, and warm caches
        for batch in [batch for _ in range(scales.repeat) for batch in scales.batches]:
            for one in running:
                online = one.call(0, batch).cost
                sample = found.setdefault((batch, one.backend), _batch_sample(batch, one))
                sample["online_ms"].append(online.online_ms)
                sample["offline_ms"].append(one.offline[-1].offline_ms)
                sample["max_abs_error"] = one.worst.absolute
                say(f"q05 batch {batch} {one.backend}: {online.online_ms:.0f} ms")
    return list(found.values())


def _about(kind: str, one: Session, **more: Any) -> Sample:
    return {"kind": kind, **one.network.counts.model_dump(), "backend": one.backend, "link": "loopback", **more}


def _batch_sample(batch: int, one: Session) -> Sample:
    """After the first call of one batch size, without times."""
    last, peak = one.online[-1], one.peak().model_dump()
    sent = {"client_to_server": last.client_to_server_bytes, "server_to_client": last.server_to_client_bytes}
    counted = {"peak_memory_bytes": peak, "online_rounds": last.rounds, "online_bytes": sent}
    return _about("batch", one, batch=batch, online_ms=[], offline_ms=[], **counted)


def client_samples(path: Path, backend: str, scales: Scales) -> list[Sample]:
    """A sample for every number of clients at once."""
    most, found = scales.clients[-1], dict[int, Sample]()
    with in_turn([path], [(backend, HERE, "logits")] * most, PICTURES, shared=True) as running:
        for one in running:
            one.call(0)
        common = {"batch": 1, "calls": scales.calls, "server_sessions": most}
        for count in scales.clients:
            times: Sample = {"throughput_per_s": [], "online_ms": []}
            found[count] = _about("clients", running[0], clients=count, **common, **times)
        for count in [count for _ in range(scales.repeat) for count in scales.clients]:
            throughput, online_ms = at_once(running[:count], scales.calls)
            found[count]["throughput_per_s"].append(throughput)
            found[count]["online_ms"] += online_ms
            say(f"q05 {count} clients {backend}: {throughput:.2f}/s")
        memory = sum(map(peak_memory_bytes, descendants(running[0].server.pid)))
    for count, sample in found.items():
        worst = max(one.worst.absolute for one in running[:count])
        sample |= {"server_memory_bytes": memory, "max_abs_error": worst}
    return list(found.values())


def at_once(sessions: Sequence[Session], calls: int) -> tuple[float, list[float]]:
    """All clients begin together: inferences a second until the last is done, and each one's online ms."""

    def infer(session: Session) -> list[float]:
        return [session.infer(index % PICTURES).cost.online_ms for index in range(calls)]

    with ThreadPoolExecutor(len(sessions)) as pool:
        list(pool.map(lambda session: session.prepare(calls), sessions))
        start_s = time.perf_counter()
        online_ms = [ms for found in pool.map(infer, sessions) for ms in found]
        return len(online_ms) / (time.perf_counter() - start_s), online_ms


def size_samples(scales: Scales) -> list[Sample]:
    """A sample for every backend and size."""
    found = []
    for size in scales.sizes:
        path = cached_artifact(f"{scales.sized},size={size}", default_cache())
        about = {"kind": "size", "size": size, **counts(load(path)).model_dump()}
        for result in run_all([path], scales.backends, ("loopback",), scales.repeat, 1):
            samples = {"online_ms": list(result.online_ms.samples), "offline_ms": list(result.offline_ms_samples)}
            found.append({**about, **result.model_dump(), **samples})
    return found


def answers(samples: Sequence[Sample]) -> tuple[Answer, ...]:
    """Everything the report states."""
    parts = {"batch": _batch_answers, "clients": _client_answers, "size": _size_answers}
    found: list[Answer] = []
    for kind, part in parts.items():
        for backend, mine in by_backend(samples, kind).items():
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
    rate, ms, memory = ("throughput_per_s", "inferences a second, online"), ("online_ms", "online ms"), None
    panels: dict[str, tuple[str, tuple[str, str], tuple[str, str] | None]] = {
        "batch": ("pictures a call", ("online_ms", "online ms a picture"), memory),
        "clients": ("clients at once", rate, ms),
        "size": ("height and width, pixels", ms, memory),
    }
    paths = []
    for kind, (xlabel, *panels_of) in panels.items():
        curves, (drawn, panel) = by_backend(report.samples, kind), figure(2)
        for axes, what in zip(panel, panels_of, strict=True):
            _lines(axes, curves, kind, *what) if what else _memory_lines(axes, curves, kind)
        for axes in panel if kind == "clients" else ():
            axes.set_ylim(bottom=0)
        if kind == "size":
            panel[0].set_yscale("log")
            plain_ticks(panel[0].yaxis)
        for axes in panel:
            ticks_at(axes, sorted({s[kind] for mine in curves.values() for s in mine}), xlabel, value="log", base=2)
        paths += save(drawn, out, f"q05-{kind}")
    return paths


def _lines(axes: Any, curves: dict[str, list[Sample]], x: str, key: str, label: str) -> None:
    for backend, mine in curves.items():
        found = [median_interval([value / s.get("batch", 1) for value in s[key]]) for s in mine]
        line(axes, [sample[x] for sample in mine], found, backend)
    axes.set_ylabel(label)
    axes.legend()


def _memory_lines(axes: Any, curves: dict[str, list[Sample]], x: str) -> None:
    for backend, mine in curves.items():
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
    scales = SCALES[mode] if repeat is None else replace(SCALES[mode], repeat=repeat)
    path = cached_artifact(scales.network, default_cache())
    clients = [sample for backend in scales.backends for sample in client_samples(path, backend, scales)]
    return [*batch_samples(path, scales), *clients, *size_samples(scales)]


QUESTION = Question(script=__file__, measure=measure, answers=answers, draw=draw)
main = commands(QUESTION)

if __name__ == "__main__":
    main()
