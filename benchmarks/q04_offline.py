"""q04: what does the offline phase cost, and what request rate can be sustained when it is counted?

Cost of one inference: time, bytes on each of the three connections, bytes once a model, bytes kept on disk by each
party; backends take turns within each repetition. Then the arrival-rate experiment (measuring/experiment.py): the
largest rate of Poisson arrivals at which 95 % of the requests are answered within the bound while clients prepare in
the background, and beside it the rate that the online times of the same clients alone would promise.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from measuring.arrivals import latencies_s, percentile, promised_rate, sustainable_rate
from measuring.documents import default_cache, say
from measuring.experiment import RateSearch, find_rates, fleet, online_only
from measuring.networks import cached_artifact
from measuring.plots import COLOURS, around, figure, plain_ticks, save
from measuring.processes import Site
from measuring.question import Answer, Mode, Question, QuestionReport, Sample, by_backend, commands
from measuring.sessions import WARMUP, Network, Session, call_in_turn
from measuring.statistics import median_interval, quotient, ratio_interval

CONNECTIONS = {
    "peer": ("client - server", "#0072b2", ""),
    "client_dealer": ("client - dealer", "#e69f00", "//"),
    "server_dealer": ("server - dealer", "#56b4e9", ".."),
}
"""How each is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one mode measures: cost of ``network`` over ``links``, then, by ``search``, rates of ``served``.

    The latter is so small that seconds hold many requests; ``arrivals`` are its backends.
    """

    network: str
    served: str = "resnet18:m=4,size=16"
    links: tuple[str, ...]
    backends: tuple[str, ...]
    arrivals: tuple[str, ...]
    repeat: int
    search: RateSearch


QUICK = Choice(
    network="resnet18:m=4,size=16",
    links=("loopback",),
    backends=("fss", "gmw", "gc", "crypten"),
    arrivals=("fss",),
    repeat=5,
    search=RateSearch(duration_s=4.0, factor=1.5, refine=1, limit=6, repeat=1, closed=8),
)
FULL = replace(
    QUICK,
    network="resnet18:m=4",
    links=("loopback", "lan"),
    arrivals=("fss", "gmw", "gc", "crypten"),
    search=RateSearch(duration_s=6.0, factor=1.4, refine=1, limit=5, repeat=2, closed=8),
)
CHOICES: dict[Mode, Choice] = {"quick": QUICK, "full": FULL}


def offline_samples(path: Path, choice: Choice, link: str) -> list[Sample]:
    """Every backend over one link, in turn within each repetition; one sample a backend."""
    site = Site(name=link, link=link)
    called = call_in_turn(path, [(backend, site, "logits") for backend in choice.backends], choice.repeat)
    return [_cost_sample(one) for one in called]


def _cost_sample(found: Session) -> Sample:
    moved = [{name: int(getattr(cost, f"{name}_bytes")) for name in CONNECTIONS} for cost in found.offline]
    return {
        "kind": "offline",
        **found.network.counts.model_dump(),
        "backend": found.backend,
        "link": found.site.link,
        "online_ms": found.online_ms,
        "offline_ms": found.offline_ms,
        "first_offline_ms": found.offline[0].offline_ms,
        "bytes": moved[-1],
        "bytes_samples": moved[WARMUP:],
        "setup_bytes": {name: max(0, moved[0][name] - moved[-1][name]) for name in CONNECTIONS},
        "stored_bytes": found.stored[-1].model_dump(),
        "max_abs_error": found.worst.absolute,
    }


def arrival_samples(path: Path, backend: str, search: RateSearch) -> list[Sample]:
    """Online times without offline work, then rates around saturation, first the one that both phases in turn allow."""
    with (
        tempfile.TemporaryDirectory(prefix="pi-q04-") as name,
        fleet(Network(path, 16, Path(name)), backend, search.clients) as running,
    ):
        online = online_only(running, search)
        both_ms = median(online["offline_ms"]) + median(online["service_ms"])
        found = find_rates(running, search, 1000 / both_ms)
    for sample in found:
        states = ", ".join(f"{sample[state]} {state}" for state in ("served", "late", "refused", "unfinished"))
        say(f"q04 {backend} {sample['rate_per_s']:.2f}/s: {states}, queue up to {sample['queue_max']}")
    return [online, *found]


def answers(samples: Sequence[Sample]) -> tuple[Answer, ...]:
    """Everything the report states."""
    offline = [sample for sample in samples if sample["kind"] == "offline"]
    found = [answer for sample in offline for answer in _cost_answers(sample)]
    for sample in offline:
        base = next(s for s in offline if s["link"] == sample["link"])
        if sample is not base:
            name = f"{sample['backend']}/{sample['link']}/offline_ms_over_{base['backend']}"
            found.append(Answer.times(name, ratio_interval(sample["offline_ms"], base["offline_ms"])))
    online = by_backend(samples, "online_only")
    for backend, arrivals in by_backend(samples, "arrivals").items():
        found += _rate_answers(backend, online[backend][0], arrivals)
    return tuple(found)


def _cost_answers(sample: Sample) -> list[Answer]:
    name = f"{sample['backend']}/{sample['link']}"
    held = "kept in memory, none on disk" if not any(sample["stored_bytes"].values()) else ""
    found = [
        Answer.of(f"{name}/offline_ms", median_interval(sample["offline_ms"]), "ms"),
        Answer.of(f"{name}/online_ms", median_interval(sample["online_ms"]), "ms"),
        Answer.times(f"{name}/offline_over_online", ratio_interval(sample["offline_ms"], sample["online_ms"])),
    ]
    if sample["link"] != "loopback":
        return found  # bytes are the same over every link
    total, setup = sum(sample["bytes"].values()), sum(sample["setup_bytes"].values())
    found.append(Answer.exact(f"{name}/offline_bytes", total, "bytes"))
    found += [Answer.exact(f"{name}/{key}_bytes", value, "bytes") for key, value in sample["bytes"].items()]
    found.append(Answer.exact(f"{name}/setup_bytes", setup, "bytes", note="once a model and client"))
    for party, size in sample["stored_bytes"].items():
        found.append(Answer.exact(f"{name}/stored_{party}_bytes", size, "bytes", note=held))
    if sample["relus"]:
        found.append(Answer.exact(f"{name}/offline_bytes_per_relu", total / sample["relus"], "bytes/ReLU"))
    return found


def trials(arrivals: Sequence[Sample]) -> dict[float, list[list[float]]]:
    """Latencies of every repetition, by rate."""
    found: dict[float, list[list[float]]] = {}
    for sample in arrivals:
        found.setdefault(sample["rate_per_s"], []).append(latencies_s(sample))
    return found


def _rate_answers(backend: str, online: Sample, arrivals: Sequence[Sample]) -> list[Answer]:
    bound_s = arrivals[0]["bound_ms"] / 1000
    rate, saturated = sustainable_rate(trials(arrivals), bound_s)
    service_s = [ms / 1000 for ms in online["service_ms"]]
    promised = promised_rate(service_s, online["clients"], bound_s, duration_s=30.0)
    within = f"95 % within {arrivals[0]['bound_ms']:.0f} ms, {online['clients']} clients"
    note = within if saturated else f"{within}; lower limit: saturation was not reached"
    found = [
        Answer.of(f"{backend}/sustainable_per_s", rate, "1/s", note=note),
        Answer.of(f"{backend}/promised_per_s", promised, "1/s", note=f"{within}, material costing nothing"),
    ]
    if (ratio := quotient(promised, rate)) is not None:
        found.append(Answer.times(f"{backend}/promised_over_sustainable", ratio))
    return found


def draw(report: QuestionReport, out: Path) -> list[Path]:
    """What an inference costs offline, and latency against the rate of arrivals."""
    offline = [s for s in report.samples if s["kind"] == "offline" and s["link"] == "loopback"]
    arrivals = by_backend(report.samples, "arrivals")
    return [*_draw_cost(offline, out), *(_draw_arrivals(report, arrivals, out) if arrivals else [])]


def _draw_cost(samples: list[Sample], out: Path) -> list[Path]:
    drawn, (time, size) = figure(2)
    places = range(len(samples))
    for place, sample in zip(places, samples, strict=True):
        found = median_interval(sample["offline_ms"])
        time.bar(place, found.value, yerr=around([found]), color=COLOURS[sample["backend"]][0])
        time.text(place, found.high, f" {found.value:.0f}", ha="center", va="bottom")
    bottoms = [0.0] * len(samples)
    for key, (label, colour, hatch) in CONNECTIONS.items():
        heights = [sample["bytes"][key] / 1e6 for sample in samples]
        size.bar(places, heights, bottom=bottoms, label=label, color=colour, hatch=hatch, edgecolor="white")
        bottoms = [below + height for below, height in zip(bottoms, heights, strict=True)]
    size.legend()
    for axes, label in ((time, "offline ms an inference"), (size, "offline MB an inference")):
        axes.set_xticks(places, [sample["backend"] for sample in samples])
        axes.margins(y=0.15)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(label)
    return save(drawn, out, "q04-offline")


def _draw_arrivals(report: QuestionReport, arrivals: dict[str, list[Sample]], out: Path) -> list[Path]:
    drawn, (axes,) = figure()
    bound_ms = next(iter(arrivals.values()))[0]["bound_ms"]
    ceiling = 20 * bound_ms
    for backend, samples in arrivals.items():
        colour, marker = COLOURS[backend]
        points = [
            (rate, min(1000 * percentile([one for found in several for one in found]), ceiling))
            for rate, several in sorted(trials(samples).items())
        ]
        axes.plot(*zip(*points, strict=True), color=colour, marker=marker, label=backend)
        promised = report.answer(f"{backend}/promised_per_s")
        if promised is not None:
            axes.axvline(promised.value, color=colour, linestyle=":", linewidth=1.5)
    axes.axhline(bound_ms, color="black", linewidth=1)
    axes.set(yscale="log", ylim=(bound_ms / 20, 1.2 * ceiling), ylabel="95th percentile of latency, ms")
    plain_ticks(axes.yaxis)
    axes.set_xlim(left=0)
    axes.set_xlabel("arrivals a second (dotted: promised by online time)")
    axes.legend()
    return save(drawn, out, "q04-arrivals")


def measure(mode: Mode, repeat: int | None) -> list[Sample]:
    """Every sample of the mode."""
    choice = CHOICES[mode] if repeat is None else replace(CHOICES[mode], repeat=repeat)
    path, served = (cached_artifact(name, default_cache()) for name in (choice.network, choice.served))
    samples = [sample for link in choice.links for sample in offline_samples(path, choice, link)]
    for backend in choice.arrivals:
        samples += arrival_samples(served, backend, choice.search)
    return samples


QUESTION = Question(script=__file__, measure=measure, answers=answers, draw=draw)
main = commands(QUESTION)

if __name__ == "__main__":
    main()
