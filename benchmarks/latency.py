"""How long does a private inference take, and what does it cost? Real processes, backends side by side.

    python benchmarks/latency.py --network resnet18:m=16 --backend crypten --backend fss --link loopback --link lan

A dealer, and for every backend a server and a client, each party pinned to its own core with one thread. Backends
take turns within each repetition, so that their ratios hold whatever else the machine does. Warm-up: one call of each,
not counted. Servers reveal logits, as all benchmarks' do, and not their default, the label, whose rounds --reveal label
adds. Weights are random for --network (cached between runs) and the model's own for --artifact. On stdout a
table, then, last line, one JSON object (measuring/schema.py); progress on stderr.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click
from measuring import RESULTS
from measuring.documents import (
    PATH,
    backend_option,
    cache_option,
    json_out_option,
    keep_option,
    link_option,
    publish,
    repeat_option,
    show,
    table,
    unique,
)
from measuring.environment import environment, load_average
from measuring.latency import WARMUP, run_all
from measuring.networks import cached_artifact, counts
from measuring.schema import LatencyReport, LatencyResult, PartyBytes, Revealed, latency_ratios
from rich.table import Table

from pi_system.artifact.store import load
from pi_system.backends.registry import BACKENDS, find_backend
from pi_system.channel.shaped import parse_link
from pi_system.cli.errors import PiCommand

NAMES = "network|link|backend|reveals|"


def tables(report: LatencyReport) -> list[Table]:
    """The results for people: the online phase, what stands behind it, and plaintext."""
    faster = {(r.network, r.link, r.backend, r.reveal): r.times_faster for r in report.ratios}

    def named(row: LatencyResult, *cells: str) -> tuple[str, ...]:
        return (row.network, row.link, row.backend, row.reveal, *cells)

    online = [
        named(
            r,
            f"{r.online_ms.median:.1f}",
            f"{r.online_ms.q1:.1f}-{r.online_ms.q3:.1f}",
            _cell(faster.get((r.network, r.link, r.backend, r.reveal)), ".1f"),
            f"{r.floor_distance:.1f}",
            str(r.online_rounds),
            _cell(r.us_per_relu, ".3f"),
            _cell(r.bytes_per_relu, ".1f"),
            f"{r.max_abs_error:.1e}",
            _cell(r.max_ulp_error, ",d"),
        )
        for r in report.results
    ]
    behind = [
        named(
            r,
            f"{r.offline_ms:.0f}",
            f"{r.offline_bytes / 1e6:.1f}",
            f"{r.setup_bytes / 1e6:.1f}",
            _megabytes(r.storage_bytes, ".1f"),
            _cell(r.stored_bytes_per_relu, ".0f"),
            _megabytes(r.peak_memory_bytes, ".0f"),
        )
        for r in report.results
    ]
    plain = [
        named(r, f"{r.plaintext_ms:.2f}", f"{r.plaintext_conv_ms:.2f}", f"{r.floor_ms:.2f}") for r in report.results
    ]
    online_head = "ms|quartiles|x crypten|x floor|rounds|us/ReLU|B/ReLU|abs error|ulps"
    behind_head = "ms|MB|setup MB|stored MB s/c|stored B/ReLU|peak MB s/c"
    return [
        table("Online, one core a party", NAMES + online_head, online, left=4),
        table("Offline, an inference; MB = 10^6 bytes", NAMES + behind_head, behind, left=4),
        table("Plaintext, torch float32 on the client's core", f"{NAMES}ms|convolutions ms|floor ms", plain, left=4),
    ]


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _megabytes(size: PartyBytes, form: str) -> str:
    return f"{size.server / 1e6:{form}}/{size.client / 1e6:{form}}"


def measure(
    paths: Sequence[Path],
    backends: tuple[str, ...],
    links: tuple[str, ...],
    repeat: int,
    batch: int,
    reveals: Sequence[Revealed],
) -> LatencyReport:
    """Run everything on the artifacts in ``paths``."""
    before = load_average()
    results = run_all(paths, backends, links, repeat, batch, reveals)
    counted = tuple(counts(load(path)) for path in paths)
    return LatencyReport(
        **counted[0].model_dump(include={"network", "relus", "relu_layers", "macs"}),
        networks=counted,
        repeat=repeat,
        warmup=WARMUP,
        results=results,
        ratios=latency_ratios(results),
        environment=environment(load_before=before),
    )


@click.command(cls=PiCommand)
@click.option("--network", "networks", multiple=True, help="Such as resnet18:m=16; random weights. Repeatable.")
@click.option("--artifact", "folders", multiple=True, type=PATH, help="Model. Repeatable.")
@backend_option(BACKENDS)
@link_option
@repeat_option(5)
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1, 1024), help="Pictures a call.")
@click.option(
    "--reveal",
    "reveals",
    multiple=True,
    default=("logits",),
    type=click.Choice(get_args(Revealed)),
    help="What servers reveal; label: what the default policy costs. Repeatable.",
)
@json_out_option
@keep_option
@cache_option
def main(
    networks: tuple[str, ...],
    folders: tuple[Path, ...],
    backends: tuple[str, ...],
    links: tuple[str, ...],
    repeat: int,
    batch: int,
    reveals: tuple[Revealed, ...],
    json_out: Path | None,
    keep: bool,
    cache: Path,
) -> None:
    """Measure the online latency of every combination of network, backend and link."""
    if not networks and not folders:
        raise click.UsageError("expected a --network or an --artifact, found none")
    for link in links:
        parse_link(link)
    for backend in backends:
        find_backend(backend)
    paths = [*(cached_artifact(name, cache) for name in networks), *(folder.absolute() for folder in folders)]
    chosen: tuple[Revealed, ...] = tuple(dict.fromkeys(reveals))
    report = measure(paths, unique(backends, tuple(BACKENDS)), unique(links), repeat, batch, chosen)
    show(*tables(report))
    kept = RESULTS / "latency" / f"{report.environment.file_stem()}.json" if keep else None
    publish(report.model_dump(mode="json", by_alias=True), json_out, kept)


if __name__ == "__main__":
    main()
