"""How long does a private inference take, and what does it cost? Real processes, backends side by side.

    python benchmarks/latency.py --network resnet18:m=16 --backend crypten --backend fss --link loopback --link lan

A dealer, and for every backend a server and a client, each party pinned to its own core with one thread. Backends
take turns within each repetition, so that their ratios hold whatever else the machine does. Warm-up: one call of each,
not counted. Servers reveal logits, as all benchmarks' do, and not their default, the label, whose rounds --reveal label
adds. Weights are random for --network (cached between runs) and the model's own for --artifact. On stdout a
table, then, last line, one JSON object (pi_system/measure/schema.py); progress on stderr.
"""

import sys
from pathlib import Path
from typing import get_args

import click
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from platformdirs import user_cache_path

from pi_system.artifact.store import load
from pi_system.backends.registry import BACKENDS, find_backend
from pi_system.channel.shaped import parse_link
from pi_system.cli.errors import PiCommand
from pi_system.measure import LatencyReport, environment, latency_ratios, party_cores
from pi_system.measure.environment import load_average
from pi_system.measure.latency import THREADS, WARMUP
from pi_system.measure.random_artifacts import cached_artifact
from pi_system.measure.runs import counts, run_all
from pi_system.measure.schema import Revealed

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "latency"


def tables(report: LatencyReport) -> list[Table]:
    """The results for people: the online phase, and what stands behind it."""
    faster = {(r.network, r.link, r.backend, r.reveal): r.times_faster for r in report.ratios}
    online = _table("Online, one core a party", "ms|quartiles|x crypten|x floor|rounds|us/ReLU|B/ReLU|abs error|ulps")
    behind = _table("Offline, an inference; MB = 10^6 bytes", "ms|MB|setup MB|stored MB s/c|stored B/ReLU|peak MB s/c")
    for r in report.results:
        name = (r.network, r.link, r.backend, r.reveal)
        online.add_row(
            *name,
            f"{r.online_ms.median:.1f}",
            f"{r.online_ms.q1:.1f}-{r.online_ms.q3:.1f}",
            _cell(faster.get(name), ".1f"),
            f"{r.floor_distance:.1f}",
            str(r.online_rounds),
            _cell(r.us_per_relu, ".3f"),
            _cell(r.bytes_per_relu, ".1f"),
            f"{r.max_abs_error:.1e}",
            _cell(r.max_ulp_error, ",d"),
        )
        behind.add_row(
            *name,
            f"{r.offline_ms:.0f}",
            f"{r.offline_bytes / 1e6:.1f}",
            f"{r.setup_bytes / 1e6:.1f}",
            f"{r.storage_bytes.server / 1e6:.1f}/{r.storage_bytes.client / 1e6:.1f}",
            _cell(r.stored_bytes_per_relu, ".0f"),
            f"{r.peak_memory_bytes.server / 1e6:.0f}/{r.peak_memory_bytes.client / 1e6:.0f}",
        )
    plain = _table("Plaintext, torch float32 on the client's core", "ms|convolutions ms|floor ms")
    for r in report.results:
        row = (r.network, r.link, r.backend, r.reveal)
        plain.add_row(*row, f"{r.plaintext_ms:.2f}", f"{r.plaintext_conv_ms:.2f}", f"{r.floor_ms:.2f}")
    return [online, behind, plain]


def _table(title: str, numbers: str) -> Table:
    out = Table(title=title, title_justify="left")
    for name in ("network", "link", "backend", "reveals"):
        out.add_column(name, no_wrap=True)
    for name in numbers.split("|"):
        out.add_column(name, justify="right", no_wrap=True)
    return out


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def measure(
    networks: tuple[str, ...],
    folders: tuple[Path, ...],
    backends: tuple[str, ...],
    links: tuple[str, ...],
    repeat: int,
    batch: int,
    cache: Path,
    reveals: tuple[Revealed, ...] = ("logits",),
) -> LatencyReport:
    """Check the options, export what is not cached, run everything."""
    before = load_average()
    for link in links:
        parse_link(link)
    for backend in backends:
        find_backend(backend)
    paths = [cached_artifact(name, cache) for name in networks]
    artifacts = {path: load(path) for path in [*paths, *(folder.absolute() for folder in folders)]}
    results = run_all(artifacts, backends, links, repeat, batch, reveals)
    counted = tuple(counts(artifact) for artifact in artifacts.values())
    return LatencyReport(
        network=counted[0].network,
        relus=counted[0].relus,
        relu_layers=counted[0].relu_layers,
        macs=counted[0].macs,
        networks=counted,
        repeat=repeat,
        warmup=WARMUP,
        results=results,
        ratios=latency_ratios(results),
        environment=environment(pinned_cores=party_cores(), threads=THREADS, load_before=before),
    )


@click.command(cls=PiCommand)
@click.option("--network", "networks", multiple=True, help="Such as resnet18:m=16; random weights. Repeatable.")
@click.option("--artifact", "folders", multiple=True, type=click.Path(path_type=Path), help="Model. Repeatable.")
@click.option("--backend", "backends", multiple=True, type=click.Choice(list(BACKENDS)), help="Repeatable; none: all.")
@click.option("--link", "links", multiple=True, default=("loopback",), help="loopback, lan, wan or MBIT_S,RTT_MS.")
@click.option("--repeat", default=5, show_default=True, type=click.IntRange(1, 1000), help="Calls counted.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1, 1024), help="Pictures a call.")
@click.option(
    "--reveal",
    "reveals",
    multiple=True,
    default=("logits",),
    type=click.Choice(get_args(Revealed)),
    help="What servers reveal; label: what the default policy costs. Repeatable.",
)
@click.option("--json-out", type=click.Path(path_type=Path), help="Write the JSON object to this file, too.")
@click.option("--keep", is_flag=True, help="Write it to benchmarks/results/latency, too.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of random-weight artifacts.")
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
    cache: Path | None,
) -> None:
    """Measure the online latency of every combination of network, backend and link."""
    if not networks and not folders:
        raise click.UsageError("expected a --network or an --artifact, found none")
    where = cache or user_cache_path("pi-system") / "artifacts"
    chosen = tuple(dict.fromkeys(backends or BACKENDS))
    report = measure(
        networks, folders, chosen, tuple(dict.fromkeys(links)), repeat, batch, where, tuple(dict.fromkeys(reveals))
    )
    Console(width=max(Console().width, 150)).print(*tables(report))
    kept = RESULTS / f"{report.environment.file_stem()}.json" if keep else None
    for path in filter(None, (json_out, kept)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.to_json(indent=1) + "\n")
        click.echo(f"wrote {path}", err=True)
    click.echo(report.to_json())


if __name__ == "__main__":
    main()
