"""What does TLS cost? Online and offline phases with mutual TLS and in plaintext, side by side over loopback.

    python benchmarks/tls_cost.py --network resnet18:m=16 --backend fss --backend gmw --repeat 9

A dealer each way, and for every backend a server and a client each way, each party pinned to its own core with one
thread. Plaintext and TLS take turns, so that their ratio holds whatever else the machine does. Loopback has no
bandwidth to wait for: it shows TLS at its worst. Warm-up: one call of each, not counted. Weights are random. On
stdout a table, then, last line, one JSON object; progress on stderr.
"""

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import click
from measuring import RESULTS, documents
from measuring.environment import environment, load_average
from measuring.networks import cached_artifact
from measuring.processes import Place, orderly_stop
from measuring.schema import Timing
from measuring.sessions import Session, in_turn

from pi_system.backends.registry import BACKENDS
from pi_system.cli.errors import PiCommand
from pi_system.rpc.keys import write_keys

WARMUP = 1
WAYS = ("plaintext", "tls")
PHASES = ("online", "offline")


def measure(network: str, backends: tuple[str, ...], repeat: int) -> list[dict[str, Any]]:
    """One row a backend: samples of both ways, in the order they were taken, and payload bytes."""
    path, calls, rows = cached_artifact(network, documents.default_cache()), WARMUP + repeat, []
    with tempfile.TemporaryDirectory(prefix="pi-tls-") as keys:
        write_keys(Path(keys))
        places = (Place(name="plaintext"), Place(name="tls", keys=Path(keys)))
        for backend in backends:
            with in_turn([path], [(backend, place, "logits") for place in places], calls) as running:
                for index in range(calls):
                    for one in running if index % 2 else reversed(running):
                        documents.say(f"{backend} {one.place.name}: {one.call(index).cost.online_ms:.1f} ms")
                rows.append(_row(backend, {one.place.name: one for one in running}))
    return rows


def _row(backend: str, running: dict[str, Session]) -> dict[str, Any]:
    last = running["tls"]
    samples = {
        "online": {way: [cost.online_ms for cost in running[way].online[WARMUP:]] for way in WAYS},
        "offline": {way: [cost.offline_ms for cost in running[way].offline[WARMUP:]] for way in WAYS},
    }
    return {
        "backend": backend,
        **{f"{phase}_ms": {way: Timing.of(samples[phase][way]).model_dump() for way in WAYS} for phase in PHASES},
        **{f"{phase}_ratio": _ratio(**samples[phase]) for phase in PHASES},
        "online_bytes": last.online[-1].client_to_server_bytes + last.online[-1].server_to_client_bytes,
        "offline_bytes": last.offline[-1].offline_bytes,
    }


def _ratio(plaintext: list[float], tls: list[float]) -> float:
    """Median of the neighbours' ratios, TLS / plaintext."""
    return median(secure / plain for plain, secure in zip(plaintext, tls, strict=True))


@click.command(cls=PiCommand)
@click.option("--network", default="resnet18:m=16", show_default=True)
@documents.backend_option(BACKENDS, ("fss", "gmw"))
@documents.repeat_option(9)
@documents.json_out_option
@documents.keep_option
def main(network: str, backends: tuple[str, ...], repeat: int, json_out: Path | None, keep: bool) -> None:
    """Measure what TLS costs."""
    before = load_average()
    with orderly_stop():
        rows = measure(network, backends, repeat)
    about = environment(load_before=before)
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
    columns = "backend"
    for phase in PHASES:
        times = "|".join(f"{phase}, {way} ms={phase}_ms.{way}.median:.1f" for way in WAYS)
        columns += f"|{times}|ratio={phase}_ratio:.3f|bytes={phase}_bytes:,d"
    documents.show(network, rows, columns)
    documents.publish(report, json_out, RESULTS / "tls_cost" / f"{about.file_stem()}.json" if keep else None)


if __name__ == "__main__":
    main()
