"""q04: what does the offline phase cost, and what request rate can be sustained when it is counted?

    python benchmarks/q04_offline.py run [--full]
    python benchmarks/q04_offline.py plot benchmarks/results/quick/q04.json --out docs/img

Cost of one inference: time, bytes on each of the three connections, bytes once a model, bytes kept on disk by each
party; backends take turns within each repetition. Then the arrival-rate experiment (q04_experiment.py): the largest
rate of Poisson arrivals at which 95 % of the requests are answered within the bound while clients prepare in the
background, and beside it the rate that the online times of the same clients alone would promise.
"""

import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click
from parts.measured_sessions import Sessions, sessions
from parts.q04_arrivals import promised_rate, sustainable_rate
from parts.q04_experiment import Plan, find_rates, fleet, latencies_s, online_only
from parts.q04_plots import draw
from parts.question_commands import Question, question_group
from platformdirs import user_cache_path

from pi_system.artifact.model import Artifact
from pi_system.artifact.store import load
from pi_system.export.random import random_pictures
from pi_system.measure import start_dealer
from pi_system.measure.question import Answer, Mode
from pi_system.measure.random_artifacts import SEED, cached_artifact
from pi_system.measure.reference import Reference
from pi_system.measure.runs import counts
from pi_system.measure.statistics import Interval, median_interval, ratio_interval

TITLE = "What does the offline phase cost, and what request rate can be sustained when it is counted?"
CONNECTIONS = ("peer", "client_dealer", "server_dealer")
WARMUP = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one mode measures.

    Attributes:
        network: of the cost part, random weights.
        served: network of the arrival experiment: small, so that seconds hold many requests.
        links: of the cost part.
        backends: of the cost part.
        arrivals: backends of the arrival experiment, over loopback.
        repeat: inferences counted.
        plan: of the arrival experiment.
    """

    network: str
    served: str = "resnet18:m=4,size=16"
    links: tuple[str, ...]
    backends: tuple[str, ...]
    arrivals: tuple[str, ...]
    repeat: int
    plan: Plan


QUICK = Choice(
    network="resnet18:m=4,size=16",
    links=("loopback",),
    backends=("fss", "gmw", "gc", "crypten"),
    arrivals=("fss",),
    repeat=5,
    plan=Plan(duration_s=4.0, factor=1.5, refine=1, limit=6, repeat=1, closed=8),
)
FULL = replace(
    QUICK,
    network="resnet18:m=4",
    links=("loopback", "lan"),
    arrivals=("fss", "gmw", "gc", "crypten"),
    plan=Plan(duration_s=6.0, factor=1.4, refine=1, limit=5, repeat=2, closed=8),
)
CHOICES: dict[Mode, Choice] = {"quick": QUICK, "full": FULL}


# ---- cost of one inference


class _Costs:
    """One backend's samples, the warm-up apart."""

    def __init__(self, running: Sessions):
        self.running, self.offline, self.online = running, list[dict[str, Any]](), list[float]()
        self.stored: list[dict[str, int]] = []
        self.error = 0.0

    def call(self, index: int, reference: Reference) -> None:
        """Prepare one inference and use it."""
        client, before = self.running.clients[0], self.running.stored()
        cost = client.prepare(1)
        after = self.running.stored()
        by_connection = {name: int(getattr(cost, f"{name}_bytes")) for name in CONNECTIONS}
        self.offline.append({"ms": cost.offline_ms, **by_connection})
        self.stored.append({"server": after.server - before.server, "client": after.client - before.client})
        inference = client.infer(index, 1)
        self.online.append(inference.cost.online_ms)
        self.error = max(self.error, reference.error(index, inference.logits).absolute)

    def sample(self, network: dict[str, Any], link: str) -> dict[str, Any]:
        """What was measured."""
        first, last = self.offline[0], self.offline[-1]
        return {
            "kind": "offline",
            **network,
            "backend": self.running.backend,
            "link": link,
            "online_ms": self.online[WARMUP:],
            "offline_ms": [cost["ms"] for cost in self.offline[WARMUP:]],
            "first_offline_ms": first["ms"],
            "bytes": {name: last[name] for name in CONNECTIONS},
            "bytes_samples": [{name: cost[name] for name in CONNECTIONS} for cost in self.offline[WARMUP:]],
            "setup_bytes": {name: max(0, first[name] - last[name]) for name in CONNECTIONS},
            "stored_bytes": self.stored[-1],
            "max_abs_error": self.error,
        }


def offline_samples(artifact: Artifact, path: Path, choice: Choice, link: str) -> list[dict[str, Any]]:
    """Every backend over one link, in turn within each repetition; one sample a backend."""
    pictures = _pictures(artifact, WARMUP + choice.repeat)
    reference, network = Reference(artifact, pictures), counts(artifact).model_dump()
    with tempfile.TemporaryDirectory(prefix="pi-q04-") as name, ExitStack() as stack:
        folder = Path(name)
        dealer = stack.enter_context(start_dealer(folder)).address
        costs = [
            _Costs(
                stack.enter_context(
                    sessions(artifact, path, pictures, backend=b, dealer=dealer, folder=folder, link=link)
                )
            )
            for b in choice.backends
        ]
        for index in range(WARMUP + choice.repeat):
            for cost in costs:
                cost.call(index, reference)
                _say(f"{link} {cost.running.backend}: offline {cost.offline[-1]['ms']:.0f} ms")
        return [cost.sample(network, link) for cost in costs]


def arrival_samples(artifact: Artifact, path: Path, backend: str, plan: Plan) -> list[dict[str, Any]]:
    """Online times without offline work, then rates around saturation, first the one that both phases in turn allow."""
    pictures = _pictures(artifact, 16)
    with (
        tempfile.TemporaryDirectory(prefix="pi-q04-") as name,
        fleet(artifact, path, pictures, backend, plan.clients, Path(name)) as running,
    ):
        online = online_only(running, plan)
        both_ms = statistics.median(online["offline_ms"]) + statistics.median(online["service_ms"])
        found = find_rates(running, plan, 1000 / both_ms)
    for sample in found:
        _say(
            f"{backend} {sample['rate_per_s']:.2f}/s: {sample['served']} served, {sample['late']} late, "
            f"{sample['refused']} refused, {sample['unfinished']} unfinished, queue up to {sample['queue_max']}"
        )
    return [online, *found]


def _pictures(artifact: Artifact, count: int) -> Any:
    preprocess = artifact.public.preprocess
    return random_pictures((preprocess.channels, preprocess.height, preprocess.width), count, SEED)


def _say(text: str) -> None:
    click.echo(f"q04 {text}", err=True)


# ---- answers, from the samples only


def answers(samples: Sequence[dict[str, Any]]) -> tuple[Answer, ...]:
    """Everything the report states."""
    offline = [sample for sample in samples if sample["kind"] == "offline"]
    found = [answer for sample in offline for answer in _cost_answers(sample)]
    for sample in offline:
        base = next(s for s in offline if s["link"] == sample["link"])
        if sample is not base:
            name = f"{sample['backend']}/{sample['link']}/offline_ms_over_{base['backend']}"
            interval = ratio_interval(sample["offline_ms"], base["offline_ms"])
            found.append(Answer.of(name, interval, "x", ratio=True))
    for backend in dict.fromkeys(s["backend"] for s in samples if s["kind"] == "arrivals"):
        found += _rate_answers(backend, [s for s in samples if s["backend"] == backend])
    return tuple(found)


def _cost_answers(sample: dict[str, Any]) -> list[Answer]:
    name = f"{sample['backend']}/{sample['link']}"
    held = "kept in memory, none on disk" if not any(sample["stored_bytes"].values()) else ""
    found = [
        Answer.of(f"{name}/offline_ms", median_interval(sample["offline_ms"]), "ms"),
        Answer.of(f"{name}/online_ms", median_interval(sample["online_ms"]), "ms"),
        Answer.of(
            f"{name}/offline_over_online", ratio_interval(sample["offline_ms"], sample["online_ms"]), "x", ratio=True
        ),
    ]
    if sample["link"] != "loopback":
        return found  # bytes are the same over every link
    total = sum(sample["bytes"].values())
    found.append(Answer.exact(f"{name}/offline_bytes", total, "bytes"))
    found += [Answer.exact(f"{name}/{key}_bytes", value, "bytes") for key, value in sample["bytes"].items()]
    setup = sum(sample["setup_bytes"].values())
    found.append(Answer.exact(f"{name}/setup_bytes", setup, "bytes", note="once a model and client"))
    for party, size in sample["stored_bytes"].items():
        found.append(Answer.exact(f"{name}/stored_{party}_bytes", size, "bytes", note=held))
    if sample["relus"]:
        found.append(Answer.exact(f"{name}/offline_bytes_per_relu", total / sample["relus"], "bytes/ReLU"))
    return found


def _rate_answers(backend: str, samples: Sequence[dict[str, Any]]) -> list[Answer]:
    arrivals = [sample for sample in samples if sample["kind"] == "arrivals"]
    online = next(sample for sample in samples if sample["kind"] == "online_only")
    trials: dict[float, list[list[float]]] = {}
    for sample in arrivals:
        trials.setdefault(sample["rate_per_s"], []).append(latencies_s(sample))
    bound_s = arrivals[0]["bound_ms"] / 1000
    rate, saturated = sustainable_rate(trials, bound_s)
    service_s = [ms / 1000 for ms in online["service_ms"]]
    promised = promised_rate(service_s, online["clients"], bound_s, duration_s=30.0)
    within = f"95 % within {arrivals[0]['bound_ms']:.0f} ms, {online['clients']} clients"
    found = [
        Answer.of(
            f"{backend}/sustainable_per_s",
            rate,
            "1/s",
            note=within if saturated else f"{within}; lower limit: saturation was not reached",
        ),
        Answer.of(f"{backend}/promised_per_s", promised, "1/s", note=f"{within}, material costing nothing"),
    ]
    if rate.low > 0:
        ratio = Interval(promised.value / rate.value, promised.low / rate.high, promised.high / rate.low)
        found.append(Answer.of(f"{backend}/promised_over_sustainable", ratio, "x", ratio=True))
    return found


# ---- commands


def measure(mode: Mode, repeat: int | None) -> list[dict[str, Any]]:
    """Every sample of the mode."""
    choice = CHOICES[mode] if repeat is None else replace(CHOICES[mode], repeat=repeat)
    cache, samples = user_cache_path("pi-system") / "artifacts", list[dict[str, Any]]()
    path, served = cached_artifact(choice.network, cache), cached_artifact(choice.served, cache)
    for link in choice.links:
        samples += offline_samples(load(path), path, choice, link)
    for backend in choice.arrivals:
        samples += arrival_samples(load(served), served, backend, choice.plan)
    return samples


QUESTION = Question(
    name="q04",
    title=TITLE,
    script="q04_offline.py",
    measure=measure,
    answers=answers,
    draw=draw,
)
main = question_group(QUESTION)

if __name__ == "__main__":
    main()
