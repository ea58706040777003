"""How does a server do under load? Sessions that come and go, open loop: latencies, refusals, memory over time.

    python benchmarks/load.py run --clients 4 --clients 64 --rate 2 --duration 600 --json-out load.json
    python benchmarks/load.py plot load.json --out plots

One server and, for backends with one, a dealer, on all cores; clients are threads of this process. Every combination of
numbers of clients, rates and "counted" (each request prepares its inference) or "ahead" has its turn. Weights are
random; every answer is compared with plaintext. A request is served, busy (the server had no place within --timeout: a
typed refusal), wrong, or failed by an error, which is named.
"""

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from measuring import documents
from measuring.load import PERCENTILES, Load, put_under
from measuring.machine import Measurement, measures
from measuring.networks import cached_artifact
from measuring.plots import figure, save
from measuring.processes import Site
from measuring.programs import start_dealer, start_server
from measuring.question import Sample
from measuring.sessions import Network

from pi_system.backends.registry import BACKENDS, find_backend
from pi_system.cli.errors import PiCommand, PiGroup
from pi_system.cli.seconds import SECONDS

PICTURES = 16


@click.group(cls=PiGroup)
def main() -> None:
    """Put a server under load."""


def measure(path: Path, loads: list[Load], max_sessions: int) -> list[Sample]:
    """Every load in turn, on one server."""
    samples, site = list[Sample](), Site(pinned=False)
    with tempfile.TemporaryDirectory(prefix="pi-load-") as name, ExitStack() as stack:
        folder, backends = Path(name), tuple(dict.fromkeys(load.backend for load in loads))
        network = Network(path, PICTURES, folder)
        dealer = "127.0.0.1:1"
        if any(find_backend(backend).DEALT for backend in backends):
            dealer = stack.enter_context(start_dealer(folder, site=site)).address
        options: dict[str, Any] = {"backends": backends, "max_sessions": max_sessions, "site": site}
        server = stack.enter_context(start_server(path, dealer, folder, **options))
        for load in loads:
            found = put_under(load, network, server, dealer, folder)
            samples.append(found)
            documents.say(f"{load.clients} clients, {load.rate_per_s:g}/s: {found['states']} {found['latency_ms']}")
    return samples


@main.command(cls=PiCommand)
@measures
@click.option("--network", default="resnet18:m=4,size=16", show_default=True)
@click.option("--backend", type=click.Choice(list(BACKENDS)), default="gmw", show_default=True)
@click.option(
    "--clients", multiple=True, default=(1, 4, 64), show_default=True, type=click.IntRange(1, 256), help="Repeatable."
)
@click.option("--rate", multiple=True, default=(1.0,), show_default=True, type=SECONDS, help="Arrivals/s. Repeatable.")
@click.option("--duration", default=60.0, show_default=True, type=SECONDS, help="For which requests arrive.")
@click.option("--preparation", type=click.Choice(["counted", "ahead", "both"]), default="both", show_default=True)
@click.option("--max-sessions", default=4, show_default=True, type=click.IntRange(1, 256), help="Of the server.")
@click.option("--timeout", default=60.0, show_default=True, type=SECONDS, help="Of each request's wait for a place.")
@documents.cache_option
@documents.publishes
def run(
    run: Measurement,
    network: str,
    backend: str,
    clients: tuple[int, ...],
    rate: tuple[float, ...],
    duration: float,
    preparation: str,
    max_sessions: int,
    timeout: float,
    cache: Path,
    publish: documents.Publish,
) -> None:
    """Measure; a table, then one JSON object."""
    ways = {"counted": (True,), "ahead": (False,), "both": (False, True)}[preparation]
    common: dict[str, Any] = {"backend": backend, "duration_s": duration, "timeout_s": timeout}
    loads = [
        Load(clients=count, rate_per_s=each, counted=counted, **common)
        for counted in ways
        for count in clients
        for each in rate
    ]
    samples = measure(cached_artifact(network, cache), loads, max_sessions)
    columns = "clients|arrivals/s={rate_per_s:g}|prepared in it={counted}|states|told to wait={told_busy:d}"
    columns += "|served/s={served_per_s:.2f}"
    columns += "".join(f"|p{share} ms={{latency_ms.p{share}:.0f}}" for share in PERCENTILES)
    documents.show(f"{network}, {backend}", samples, columns)
    report = run.report("load", network=network, max_sessions=max_sessions, samples=samples)
    publish(report, "load/{date}_{machine}-{cores}-cores_{sha}")


@main.command(cls=PiCommand)
@click.argument("file", type=documents.PATH)
@click.option("--out", type=documents.PATH, default=Path("docs/img"), show_default=True)
def plot(file: Path, out: Path) -> None:
    """Draw latencies by arrival, and the server's memory over time."""
    report = json.loads(file.read_text())
    for path in draw(report["samples"], out):
        click.echo(path)


def draw(samples: list[Sample], out: Path) -> list[Path]:
    """A row a load: latency of each request over its arrival, memory over time."""
    drawn, axes = figure(rows=len(samples), columns=2, size=(6, 3))
    for index, sample in enumerate(samples):
        latency, memory = axes[2 * index], axes[2 * index + 1]
        served = [found for found in sample["requests"] if found["state"] == "served"]
        others = [found for found in sample["requests"] if found["state"] != "served"]
        for requests, style in ((served, {"color": "#0072b2", "s": 8}), (others, {"color": "#d55e00", "marker": "x"})):
            x, y = ([found["arrival_s"] for found in requests], [f["end_s"] - f["arrival_s"] for f in requests])
            latency.scatter(x, y, **style)
        counted = "prepared in it" if sample["counted"] else "prepared ahead"
        latency.set(
            title=f"{sample['clients']} clients, {sample['rate_per_s']:g}/s, {counted}", ylabel="s to the answer"
        )
        memory.plot([row[0] for row in sample["memory"]], [row[1] / 2**20 for row in sample["memory"]], color="#009e73")
        memory.set(ylabel="MiB, server and workers", ylim=(0, None))
        for panel in (latency, memory):
            panel.set_xlabel("s")
            panel.grid(True)
    return save(drawn, out, "load")


if __name__ == "__main__":
    main()
