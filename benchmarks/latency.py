"""How long does a private inference take, and what does it cost? Real processes, backends side by side.

    python benchmarks/latency.py --network resnet18:m=16 --backend crypten --backend fss --link loopback --link lan

A dealer, and for every backend a server and a client, each party pinned to its own core with one thread. Backends
take turns within each repetition, so that their ratios hold whatever else the machine does. Warm-up: one call of each,
not counted. Servers reveal logits, as all benchmarks' do, and not their default, the label, whose rounds --reveal label
adds. Weights are random for --network (cached between runs) and the model's own for --artifact. On stdout a
table, then, last line, one JSON object (measuring/schema.py); progress on stderr.
"""

from pathlib import Path
from typing import get_args

import click
from measuring import documents
from measuring.latency import run_all
from measuring.machine import Measurement, measures
from measuring.networks import cached_artifact, counts
from measuring.schema import LatencyReport, Revealed
from measuring.sessions import WARMUP

from pi_system.artifact.store import load
from pi_system.backends.registry import BACKENDS
from pi_system.channel.link import parse_link
from pi_system.cli.errors import PiCommand

NAMES = "network|link|backend|reveals=reveal|"
TABLES = {
    "Online, one core a party": "ms=online_ms.median:.1f|q1=online_ms.q1:.1f|q3=online_ms.q3:.1f|"
    "x crypten=times_faster:.1f|x floor=floor_distance:.1f|rounds=online_rounds:d|us/ReLU=us_per_relu:.3f|"
    "B/ReLU=bytes_per_relu:.1f|abs error=max_abs_error:.1e|ulps=max_ulp_error:,d",
    "Offline, an inference; bytes": "ms=offline_ms:.0f|moved=offline_bytes:,d|setup=setup_bytes:,d|"
    "stored, server=storage_bytes.server:,d|client=storage_bytes.client:,d|a ReLU=stored_bytes_per_relu:,.0f|"
    "peak memory, server=peak_memory_bytes.server:,d|client=peak_memory_bytes.client:,d",
    "Plaintext, torch float32 on the client's core": "ms=plaintext_ms:.2f|convolutions ms=plaintext_conv_ms:.2f|"
    "floor ms=floor_ms:.2f",
}


def show(report: LatencyReport) -> None:
    """The results for people: the online phase, what stands behind it, and plaintext."""
    faster = {(r.network, r.link, r.backend, r.reveal): r.times_faster for r in report.ratios}
    rows = [
        {**r.model_dump(), "times_faster": faster.get((r.network, r.link, r.backend, r.reveal))} for r in report.results
    ]
    for title, columns in TABLES.items():
        documents.show(title, rows, NAMES + columns)


@click.command(cls=PiCommand)
@measures
@click.option("--network", "networks", multiple=True, help="Such as resnet18:m=16; random weights. Repeatable.")
@click.option("--artifact", "folders", multiple=True, type=documents.PATH, help="Model. Repeatable.")
@documents.backend_option(BACKENDS)
@documents.link_option("loopback")
@documents.repeat_option(5)
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1, 1024), help="Pictures a call.")
@click.option(
    "--reveal",
    "reveals",
    multiple=True,
    default=("logits",),
    type=click.Choice(get_args(Revealed)),
    help="What servers reveal; label: what the default policy costs. Repeatable.",
)
@documents.publishes
@documents.cache_option
def main(
    run: Measurement,
    networks: tuple[str, ...],
    folders: tuple[Path, ...],
    backends: tuple[str, ...],
    links: tuple[str, ...],
    repeat: int,
    batch: int,
    reveals: tuple[Revealed, ...],
    publish: documents.Publish,
    cache: Path,
) -> None:
    """Measure the online latency of every combination of network, backend and link."""
    if not networks and not folders:
        raise click.UsageError("expected a --network or an --artifact, found none")
    for link in links:
        parse_link(link)
    paths = [*(cached_artifact(name, cache) for name in networks), *(folder.absolute() for folder in folders)]
    backends, links = documents.unique(backends, tuple(BACKENDS)), documents.unique(links)
    results = run_all(paths, backends, links, repeat, batch, tuple(dict.fromkeys(reveals)))
    counted = tuple(counts(load(path)) for path in paths)
    report = LatencyReport.of(counted, results, repeat=repeat, warmup=WARMUP, environment=run.environment())
    show(report)
    publish(report.model_dump(mode="json", by_alias=True), "latency/{date}_{machine}-{cores}-cores_{sha}")


if __name__ == "__main__":
    main()
