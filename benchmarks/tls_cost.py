"""What does TLS cost? Online and offline phases with mutual TLS and in plaintext, side by side over loopback.

    python benchmarks/tls_cost.py --network resnet18:m=16 --backend fss --backend gmw --repeat 9

A dealer each way, and for every backend a server and a client each way, each party pinned to its own core with one
thread. Plaintext and TLS take turns, so that their ratio holds whatever else the machine does. Loopback has no
bandwidth to wait for: it shows TLS at its worst. Warm-up: one call of each, not counted. Weights are random. On
stdout a table, then, last line, one JSON object; progress on stderr.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import click
from measuring import RESULTS
from measuring.documents import (
    backend_option,
    default_cache,
    json_out_option,
    keep_option,
    publish,
    repeat_option,
    say,
    show,
    table,
)
from measuring.environment import environment, load_average
from measuring.networks import cached_artifact
from measuring.processes import Place, orderly_stop, start_dealer
from measuring.schema import Timing
from measuring.sessions import Network, Session, session

from pi_system.backends.registry import BACKENDS
from pi_system.cli.errors import PiCommand
from pi_system.rpc.keys import write_keys

WARMUP = 1
WAYS = ("plaintext", "tls")
PHASES = ("online", "offline")


def measure(name: str, backends: tuple[str, ...], repeat: int, root: Path) -> list[dict[str, Any]]:
    """One row a backend: samples of both ways, in the order they were taken, and payload bytes."""
    network = Network(cached_artifact(name, default_cache()), WARMUP + repeat, root)
    write_keys(root / "keys")
    places = {"plaintext": Place(), "tls": Place(keys=root / "keys")}
    rows = []
    for backend in backends:
        with ExitStack() as stack:
            running = {}
            for way, place in places.items():
                folder = root / f"{backend}-{way}"
                dealer = stack.enter_context(start_dealer(folder, place=place)).address
                running[way] = stack.enter_context(session(network, backend, dealer, folder, place=place))
            for index in range(WARMUP + repeat):
                for way in WAYS if index % 2 else reversed(WAYS):
                    say(f"{backend} {way}: {running[way].call(index).cost.online_ms:.1f} ms")
        rows.append(_row(backend, running))
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
@backend_option(BACKENDS, ("fss", "gmw"))
@repeat_option(9)
@json_out_option
@keep_option
def main(network: str, backends: tuple[str, ...], repeat: int, json_out: Path | None, keep: bool) -> None:
    """Measure what TLS costs."""
    before = load_average()
    with tempfile.TemporaryDirectory(prefix="pi-tls-") as folder, orderly_stop():
        rows = measure(network, backends, repeat, Path(folder))
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
    cells = [
        (
            row["backend"],
            phase,
            f"{row[f'{phase}_bytes'] / 1e6:.2f}",
            *(f"{row[f'{phase}_ms'][way]['median']:.1f}" for way in WAYS),
            f"{row[f'{phase}_ratio']:.3f}",
        )
        for row in rows
        for phase in PHASES
    ]
    show(table(network, "backend|phase|MB|plaintext ms|TLS ms|ratio", cells, left=2))
    publish(report, json_out, RESULTS / "tls_cost" / f"{about.file_stem()}.json" if keep else None)


if __name__ == "__main__":
    main()
