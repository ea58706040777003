"""What does TLS cost? Online and offline phases with mutual TLS and in plaintext, side by side over loopback.

    python benchmarks/tls_cost.py --network resnet18:m=16 --backend fss --backend gmw --repeat 9

A dealer each way, and for every backend a server and a client each way, each party pinned to its own core with one
thread. Plaintext and TLS take turns, so that their ratio holds whatever else the machine does. Loopback has no
bandwidth to wait for: it shows TLS at its worst. Warm-up: one call of each, not counted. Weights are random. On
stdout a table, then, last line, one JSON object; progress on stderr.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click
import numpy as np
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

from pi_system.artifact.store import load
from pi_system.backends.registry import BACKENDS
from pi_system.cli.errors import PiCommand
from pi_system.export.random import random_pictures
from pi_system.measure import ClientTask, MeasuredClient, Timing, environment, party_cores, start_dealer, start_server
from pi_system.measure.environment import load_average
from pi_system.measure.random_artifacts import SEED, cached_artifact
from pi_system.measure.runs import orderly_stop
from pi_system.rpc.keys import write_keys

RESULTS = Path(__file__).resolve().parent / "results" / "tls_cost"
WARMUP = 1
TIMEOUT_S = 3600.0
WAYS = ("plaintext", "tls")


@contextmanager
def session(artifact: Path, backend: str, folder: Path, pictures: Path, keys: Path | None) -> Iterator[MeasuredClient]:
    """An open session, with its own dealer and server; ``keys``: None for plaintext."""
    cores = party_cores()
    with (
        start_dealer(folder, keys=keys) as dealer,
        start_server(
            artifact,
            dealer.address,
            folder,
            backends=(backend,),
            max_sessions=1,
            timeout_s=TIMEOUT_S,
            keys=keys,
            core=cores["server"],
            threads=1,
        ) as server,
    ):
        task = ClientTask(
            server=server.address,
            dealer=dealer.address,
            backend=backend,
            link="loopback",
            store=folder / "client-store",
            pictures=pictures,
            timeout_s=TIMEOUT_S,
            keys=keys,
        )
        with MeasuredClient(task, log=folder / "client.log", core=cores["client"], threads=1) as client:
            yield client


def measure(network: str, backends: tuple[str, ...], repeat: int, root: Path) -> list[dict[str, Any]]:
    """One row a backend: samples of both ways, in the order they were taken, and payload bytes."""
    artifact = cached_artifact(network, user_cache_path("pi-system") / "artifacts")
    preprocess = load(artifact).public.preprocess
    shape = (preprocess.channels, preprocess.height, preprocess.width)
    np.save(root / "pictures.npy", random_pictures(shape, WARMUP + repeat, SEED))
    write_keys(root / "keys")
    rows = []
    for backend in backends:
        online: dict[str, list[float]] = {way: [] for way in WAYS}
        offline: dict[str, list[float]] = {way: [] for way in WAYS}
        with ExitStack() as stack:
            clients = {}
            for way in WAYS:
                keys = root / "keys" if way == "tls" else None
                folder = root / f"{backend}-{way}"
                clients[way] = stack.enter_context(session(artifact, backend, folder, root / "pictures.npy", keys))
            for index in range(WARMUP + repeat):
                for way in WAYS if index % 2 else reversed(WAYS):
                    before = clients[way].prepare(1)
                    cost = clients[way].infer(index, 1).cost
                    click.echo(f"{backend} {way}: {cost.online_ms:.1f} ms", err=True)
                    if index >= WARMUP:
                        online[way].append(cost.online_ms)
                        offline[way].append(before.offline_ms)
        rows.append(
            {
                "backend": backend,
                "online_ms": {way: Timing.of(online[way]).model_dump() for way in WAYS},
                "offline_ms": {way: Timing.of(offline[way]).model_dump() for way in WAYS},
                "online_ratio": _ratio(online),
                "offline_ratio": _ratio(offline),
                "online_bytes": cost.client_to_server_bytes + cost.server_to_client_bytes,
                "offline_bytes": before.offline_bytes,
            }
        )
    return rows


def _ratio(samples: dict[str, list[float]]) -> float:
    """Median of the neighbours' ratios, TLS / plaintext."""
    return statistics.median(tls / plain for plain, tls in zip(samples["plaintext"], samples["tls"], strict=True))


def show(network: str, rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    table = Table("backend", "phase", "MB", "plaintext ms", "TLS ms", "ratio", title=network)
    for row in rows:
        for phase in ("online", "offline"):
            times = (f"{row[f'{phase}_ms'][way]['median']:.1f}" for way in WAYS)
            megabytes = f"{row[f'{phase}_bytes'] / 1e6:.2f}"
            table.add_row(row["backend"], phase, megabytes, *times, f"{row[f'{phase}_ratio']:.3f}")
    Console().print(table)


@click.command(cls=PiCommand)
@click.option("--network", default="resnet18:m=16", show_default=True)
@click.option("--backend", "backends", multiple=True, default=("fss", "gmw"), type=click.Choice(list(BACKENDS)))
@click.option("--repeat", default=9, show_default=True, type=click.IntRange(1, 1000), help="Calls counted.")
@click.option("--json-out", type=click.Path(path_type=Path), help="Write the JSON object to this file, too.")
@click.option("--keep", is_flag=True, help="Write it to benchmarks/results/tls_cost, too.")
def main(network: str, backends: tuple[str, ...], repeat: int, json_out: Path | None, keep: bool) -> None:
    """Measure what TLS costs."""
    before = load_average()
    with tempfile.TemporaryDirectory(prefix="pi-tls-") as folder, orderly_stop():
        rows = measure(network, backends, repeat, Path(folder))
    about = environment(pinned_cores=party_cores(), threads=1, load_before=before)
    report = {
        "schema": 1,
        "question": "tls_cost",
        "network": network,
        "link": "loopback",
        "repeat": repeat,
        "warmup": WARMUP,
        "rows": rows,
        "environment": about.model_dump(mode="json"),
    }
    show(network, rows)
    kept = RESULTS / f"{about.file_stem()}.json" if keep else None
    for path in filter(None, (json_out, kept)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n")
    click.echo(json.dumps(report))


if __name__ == "__main__":
    main()
