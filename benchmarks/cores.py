"""What do more cores a party bring, to kernels alone and to both phases of a session?

    python benchmarks/cores.py --keep          # a few minutes

Kernels run in this process, on one core and on several in turn. Sessions are real processes, each party and the
dealer with --threads 1 and as by default, any core that is idle, in turn too; all of them share the cores of this
machine, so of two cores one party gets more only while the other waits. --keep writes the JSON object to
benchmarks/results/cores, and `make report` the newest's tables into docs/reference/results.md. On stdout tables,
then, last line, the JSON object.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from measuring import RESULTS
from measuring.documents import Publish, backend_option, cache_option, markdown, newest, publishes, repeat_option, say
from measuring.documents import show as show_table
from measuring.machine import Measurement, measures
from measuring.networks import artifact_of, counts
from measuring.processes import Site
from measuring.sessions import WARMUP, Session, in_turn
from measuring.statistics import median_interval, ratio_interval

from pi_system.artifact.store import load
from pi_system.backends.registry import BACKENDS
from pi_system.cli.errors import PiCommand
from pi_system.kernels import ReluGate
from pi_system.kernels.conv import RingConv2d
from pi_system.kernels.cores import using_threads
from pi_system.kernels.garble import garble
from pi_system.kernels.ot import bit_products_sender, lpn_encode, pads_sender, tree_sender
from pi_system.protocols.linear_he import LinearHeClient, LinearShape, plan_linear
from pi_system.ring.prg import Prg, fresh_seed

KEPT: Final = RESULTS / "cores"
_SEED: Final = bytes(16)
_DELTA: Final = b"\1" + bytes(15)
_MANY: Final = 1 << 16
Kernel = Callable[[], Any]


def kernels() -> dict[str, Kernel]:
    """The work of both phases by name, as much as a layer of ResNet18 has."""
    base, leaves = _drawn((9 << 14, 2)), _drawn((_MANY, 2))
    q, flips = _drawn((24, 2 * 4096)), _drawn((24, 512), np.uint8)
    relu = ReluGate(ring_bits=59, comparison_bits=26, shift=12)
    conv, image = RingConv2d(_drawn((128, 128, 3, 3)) & np.uint64(255), padding=(1, 1)), _drawn((1, 128, 16, 16))
    layer: dict[str, Any] = {"name": "a", "source": "a", "in_channels": 64, "out_channels": 64, "in_size": (16, 16)}
    plan = plan_linear([LinearShape(**layer, kernel=(3, 3), padding=(1, 1))], 41, 20)
    client, mask = LinearHeClient(plan, Prg(fresh_seed())), Prg(fresh_seed()).ring((64, 16, 16), 41)
    shape: dict[str, Any] = {"stride": 4096, "tweak": 0, "seed": _SEED, "delta": _DELTA, "first": 0}
    return {
        "convolution in the ring, 128 channels": lambda: conv(image),
        "comparison keys, dealing 65,536": lambda: relu.deal(_MANY, _SEED, _SEED, _SEED),
        "code of silent OT, 65,536 rows": lambda: lpn_encode(base, _SEED, 0, leaves),
        "trees of silent OT, 65,536 leaves": lambda: tree_sender(base[:32], 11, _DELTA, leaves),
        "1-of-16 pads, 16,384": lambda: pads_sender(leaves, _DELTA, 0, 4, 1),
        "bit products, 65,536 of 40 bits": lambda: bit_products_sender(leaves, _DELTA, 0, 40),
        "garbling 4,096 ReLUs of 24 bits": lambda: garble(24, 8, q=q, flips=flips, **shape),
        "encrypting a layer's mask": lambda: client.request(0, mask),
    }


def _drawn(shape: tuple[int, ...], dtype: Any = np.uint64) -> Any:
    out = np.empty(shape, dtype)
    Prg(fresh_seed()).into(out)
    return out


def kernel_rows(cores: int, repeat: int) -> Iterator[dict[str, Any]]:
    """Of each kernel the times on one core and on ``cores``, in turn."""
    for name, kernel in kernels().items():
        found: dict[int, list[float]] = {1: [], cores: []}
        for index in range(WARMUP + repeat):
            for count, samples in found.items():
                with using_threads(count):
                    started_s = time.perf_counter()
                    kernel()
                    samples.extend([1000 * (time.perf_counter() - started_s)] * (index >= WARMUP))
        say(f"{name}: done")
        yield {"kernel": name, **_compared(found[1], found[cores])}


def session_rows(path: Path, backend: str, repeat: int) -> Iterator[dict[str, Any]]:
    """Of a session's phases likewise."""
    sites = [Site(pinned=False, each=count) for count in (1, None)]
    with in_turn([path], [(backend, site, "logits") for site in sites], WARMUP + repeat) as running:
        for index in range(WARMUP + repeat):
            for one in running if index % 2 else reversed(running):
                one.call(index)
        one, many = running
    say(f"{path.name} {backend}: done")
    phases: dict[str, Callable[[Session], Sequence[float]]] = {
        "offline": lambda session: session.offline_ms,
        "online": lambda session: session.online_ms,
    }
    for phase, samples in phases.items():
        yield {"backend": backend, "phase": phase, **_compared(samples(one), samples(many))}


def _compared(one: Sequence[float], many: Sequence[float]) -> dict[str, Any]:
    return {
        "one_ms_samples": list(one),
        "many_ms_samples": list(many),
        "one_ms": median_interval(one)._asdict(),
        "many_ms": median_interval(many)._asdict(),
        "faster": ratio_interval(one, many)._asdict(),
    }


def statement() -> str:
    """The tables of the newest run that was kept: ratios."""
    report = newest(KEPT)
    about = report["environment"]
    tables = [
        markdown(map(_worded, report["kernels"]), "kernel|times as fast={words}"),
        markdown(
            map(_worded, report["sessions"]), "network=`{network}`|backend=`{backend}`|phase|times as fast={words}"
        ),
    ]
    kernel_calls = len(report["kernels"][0]["one_ms_samples"])
    calls = f"{kernel_calls} calls of each kernel and {report['repeat']} of each session"
    run = f"{calls} in turn, {about['cpu']}, {about['date'][:10]}, commit `{about['git_sha']}`"
    tables.append(f"{report['cores']} cores; medians with 95 % intervals, widened by 2 % either way: {run}.")
    return "\n\n".join(tables)


def _worded(row: dict[str, Any]) -> dict[str, Any]:
    ratio = row["faster"]
    return {**row, "words": f"{ratio['value']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"}


@click.command(cls=PiCommand)
@measures
@click.option("--cores", type=click.IntRange(2), help="Of each party, beside one; default: those of this machine.")
@click.option("--network", "networks", multiple=True, default=("builtin:cifar10", "resnet18:m=16"), show_default=True)
@backend_option(BACKENDS, ("fss", "gmw", "gc"))
@repeat_option(7)
@publishes
@cache_option
def main(
    run: Measurement,
    cores: int | None,
    networks: tuple[str, ...],
    backends: tuple[str, ...],
    repeat: int,
    publish: Publish,
    cache: Path,
) -> None:
    """Measure what more cores bring."""
    count = cores or max(2, len(os.sched_getaffinity(0)))
    alone, sessions = list(kernel_rows(count, 5 * repeat)), list[dict[str, Any]]()
    for name in networks:
        path = artifact_of(name, cache)
        about = counts(load(path)).model_dump()
        for backend in backends:
            sessions += [{**about, "network": name, **row} for row in session_rows(path, backend, repeat)]
    parties = {"pinned_cores": {}, "threads": count}
    report = run.report("cores", cores=count, repeat=repeat, kernels=alone, sessions=sessions, parties=parties)
    columns = "one ms=one_ms.value:n|many ms=many_ms.value:n|"
    columns += "faster=faster.value:.2f|from=faster.low:.2f|to=faster.high:.2f"
    show_table(f"Kernels on {count} cores against one", alone, f"kernel|{columns}")
    show_table("Sessions, every party on any idle core against one", sessions, f"network|backend|phase|{columns}")
    publish(report, "cores/{date}_{sha}")


if __name__ == "__main__":
    main()
