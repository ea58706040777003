"""What does an answer take in all, prepared or not, with and without a dealer? Both phases of every backend.

    python benchmarks/both_phases.py --keep          # under ten minutes; README and the page "which backend" quote it

The network that comes with the package and ResNet18 with 16 channels, over all links: what benchmarks/latency.py
measures of them, in one file. ``table`` takes few compared bits only: where a network has more, it runs the same with
eight, which costs what any weights cost. On an idle machine, in a tree without changes; else documents quote ratios
alone. On stdout a table, then, last line, the JSON object (measuring/schema.py); progress on stderr.
"""

from pathlib import Path
from typing import Final

import click
from latency import show
from measuring import RESULTS
from measuring.documents import Publish, cache_option, link_option, publishes, repeat_option, say
from measuring.latency import run_all
from measuring.machine import Measurement, measures
from measuring.networks import cached_artifact, counts, few_bits, sources_digest
from measuring.schema import LatencyReport
from measuring.sessions import WARMUP

from pi_system.artifact.store import load, load_public, save
from pi_system.backends.registry import runnable
from pi_system.cli.errors import PiCommand
from pi_system.networks import BUILTIN_PREFIX, artifact_folder

KEPT: Final = RESULTS / "both_phases" / "builtin-and-resnet18-m16.json"
BITS: Final = 8
ALL_BITS: Final = ("gmw", "gc", "fss", "crypten")
FEW_BITS: Final = ("table",)
NETWORKS: Final = ("builtin:cifar10", "resnet18:m=16")


def folders(name: str, cache: Path) -> tuple[Path, Path]:
    """The artifact of ``name``, and the one that few bits are measured on: itself, or made on first use with eight."""
    if name.startswith(BUILTIN_PREFIX):
        whole = artifact_folder(name)
        few = "table" in runnable(load_public(whole).public)
        return whole, whole if few else _few_bits(whole, cache)
    return cached_artifact(name, cache), cached_artifact(f"{name}/compare={BITS}", cache)


def _few_bits(path: Path, cache: Path) -> Path:
    folder = cache / sources_digest() / f"{path.name}-compare-{BITS}"
    if not folder.exists():
        say(f"{path.name}: {BITS} compared bits")
        save(few_bits(load(path), BITS), folder)
    return folder


@click.command(cls=PiCommand)
@measures
@click.option("--network", "networks", multiple=True, default=NETWORKS, show_default=True, help="Repeatable.")
@link_option("loopback", "lan", "wan")
@repeat_option(3)
@publishes
@cache_option
def main(
    run: Measurement, networks: tuple[str, ...], links: tuple[str, ...], repeat: int, publish: Publish, cache: Path
) -> None:
    """Measure both phases of every backend over every link."""
    results, counted = [], []
    for name in networks:
        whole, few = folders(name, cache)
        for path, backends in ((whole, ALL_BITS), (few, FEW_BITS)) if few != whole else ((whole, ALL_BITS + FEW_BITS),):
            named = {"network": name if path is whole else f"{name}/compare={BITS}"}
            results += [found.model_copy(update=named) for found in run_all([path], backends, links, repeat, 1)]
            counted.append(counts(load(path)).model_copy(update=named))
    report = LatencyReport.of(
        tuple(counted), tuple(results), repeat=repeat, warmup=WARMUP, environment=run.environment()
    )
    show(report)
    publish(report.model_dump(mode="json", by_alias=True), f"{KEPT.parent.name}/{KEPT.stem}")


if __name__ == "__main__":
    main()
