"""What does TLS cost? Online and offline phases with mutual TLS and in plaintext, side by side over loopback.

    python benchmarks/tls_cost.py --network resnet18:m=16 --backend fss --backend gmw --repeat 9

A dealer each way, and for every backend a server and a client each way, each party pinned to its own core with one
thread. Plaintext and TLS take turns, so that their ratio holds whatever else the machine does. Loopback has no
bandwidth to wait for: it shows TLS at its worst. Warm-up: one call of each, not counted. Weights are random. On
stdout a table, then, last line, one JSON object; progress on stderr.
"""

import tempfile
from pathlib import Path
from typing import Any

import click
from measuring import documents
from measuring.machine import Measurement, measures
from measuring.networks import cached_artifact
from measuring.processes import Site
from measuring.schema import Timing
from measuring.sessions import WARMUP, Session, call_in_turn
from measuring.statistics import ratio_interval

from pi_system.backends.registry import BACKENDS
from pi_system.cli.errors import PiCommand
from pi_system.rpc.keys import write_keys

PHASES = ("online", "offline")


def measure(network: str, backends: tuple[str, ...], repeat: int) -> list[dict[str, Any]]:
    """One row a backend: samples of both ways, in the order they were taken, and payload bytes."""
    path = cached_artifact(network, documents.default_cache())
    with tempfile.TemporaryDirectory(prefix="pi-tls-") as keys:
        write_keys(Path(keys))
        sites = (Site(name="plaintext"), Site(name="tls", keys=Path(keys)))
        return [
            _row(*call_in_turn(path, [(backend, site, "logits") for site in sites], repeat)) for backend in backends
        ]


def _row(plaintext: Session, tls: Session) -> dict[str, Any]:
    """A ratio is the median of the neighbours' ratios, TLS / plaintext."""
    row: dict[str, Any] = {"backend": tls.backend}
    for phase in PHASES:
        found = {one.site.name: getattr(one, f"{phase}_ms") for one in (plaintext, tls)}
        row[f"{phase}_ms"] = {way: Timing.of(samples).model_dump() for way, samples in found.items()}
        row[f"{phase}_ratio"] = ratio_interval(found["tls"], found["plaintext"]).value
    last = tls.online[-1]
    row["online_bytes"] = last.client_to_server_bytes + last.server_to_client_bytes
    return row | {"offline_bytes": tls.offline[-1].offline_bytes}


@click.command(cls=PiCommand)
@measures
@click.option("--network", default="resnet18:m=16", show_default=True)
@documents.backend_option(BACKENDS, ("fss", "gmw"))
@documents.repeat_option(9)
@documents.json_out_option
@documents.keep_option
def main(
    run: Measurement, network: str, backends: tuple[str, ...], repeat: int, json_out: Path | None, keep: bool
) -> None:
    """Measure what TLS costs."""
    rows = measure(network, backends, repeat)
    columns = "backend"
    for phase in PHASES:
        times = "|".join(f"{phase}, {way} ms={phase}_ms.{way}.median:.1f" for way in ("plaintext", "tls"))
        columns += f"|{times}|ratio={phase}_ratio:.3f|bytes={phase}_bytes:,d"
    documents.show(network, rows, columns)
    report = run.report("tls_cost", network=network, link="loopback", repeat=repeat, warmup=WARMUP, rows=rows)
    documents.publish(report, json_out, keep=keep and "tls_cost/{date}_{machine}-{cores}-cores_{sha}")


if __name__ == "__main__":
    main()
