"""Prices of this machine for the cost model (pi_system/cost), from a handful of small networks.

    python benchmarks/calibrate.py --keep          # every backend; about four minutes on two quiet cores
    python benchmarks/calibrate.py --backend gmw --link loopback --json-out gmw.json

All networks run over the first link, a small one over the others as well: computing is priced once, and a link adds
its rate and its round trips, which are known. --keep writes the calibration that ships with the package. Ctrl-C keeps
what was measured, and the same command goes on; --fresh forgets it.
"""

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from platformdirs import user_cache_path

from pi_system.cli.errors import PiCommand
from pi_system.cost import Calibration
from pi_system.cost.fit import fit_calibration
from pi_system.measure import environment, party_cores
from pi_system.measure.cost_samples import Group, measure_groups
from pi_system.measure.environment import load_average
from pi_system.measure.latency import THREADS

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "pi_system" / "cost" / "default_calibration.json"
PART = ROOT / "benchmarks" / "results" / "cost_model" / "calibration.part.json"
BACKENDS = ("fss", "gmw", "gc", "crypten")
LINKED = "resnet18:m=8,size=16"
NETWORKS = (
    "resnet18:m=4,size=8",  # nothing but fixed costs
    LINKED,
    "resnet18:m=16,depth=10-10-10-10,size=64",  # gates of several chunks
    "resnet18:m=16",
    "hrn-3x3x3x:m=16/keep=34",  # many multiply-accumulates, few ReLUs
    "resnet18:m=16/relus=40000",  # pixel masks
    "resnet18:m=16/square",
)


def calibrate(backends: tuple[str, ...], links: tuple[str, ...], repeat: int, cache: Path, machine: str) -> Calibration:
    """Measure and fit."""
    before = load_average()
    groups = [Group(name, links[0], backends) for name in NETWORKS]
    groups += [Group(LINKED, link, backends) for link in links[1:]]
    samples, artifacts = measure_groups(groups, repeat, cache, PART, lambda line: click.echo(line, err=True))
    found = environment(pinned_cores=party_cores(), threads=THREADS, load_before=before)
    words = machine or f"{found.cpu}, {found.cores} cores, one a party, kernels {found.kernels}"
    return fit_calibration(samples, artifacts, words, found.model_dump(mode="json"))


def tables(calibration: Calibration) -> list[Table]:
    """Prices and residuals for people."""
    prices = Table("work", "ns a unit", title="Prices", title_justify="left")
    for name, value in calibration.prices.items():
        prices.add_row(name, f"{value:,.4g}")
    fit = Table("network", "backend", "link", "online", "offline", title="Fit", title_justify="left")
    for row in calibration.residuals:
        fit.add_row(row.network, row.backend, row.link, f"{row.online:+.1%}", f"{row.offline:+.1%}")
    return [prices, fit]


@click.command(cls=PiCommand)
@click.option("--backend", "backends", multiple=True, type=click.Choice(BACKENDS), help="Repeatable; none: all.")
@click.option("--link", "links", multiple=True, default=("loopback", "lan", "wan"), show_default=True)
@click.option("--repeat", default=5, show_default=True, type=click.IntRange(1, 100), help="Calls counted.")
@click.option("--machine", default="", help="What to call this machine; default: what it says of itself.")
@click.option("--json-out", type=click.Path(path_type=Path), help="File to write.")
@click.option("--keep", is_flag=True, help="Write the calibration that ships with the package, too.")
@click.option("--fresh", is_flag=True, help="Forget what a stopped run measured.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of random-weight artifacts.")
def main(
    backends: tuple[str, ...],
    links: tuple[str, ...],
    repeat: int,
    machine: str,
    json_out: Path | None,
    keep: bool,
    fresh: bool,
    cache: Path | None,
) -> None:
    """Measure this machine's prices."""
    if fresh:
        PART.unlink(missing_ok=True)
    where = cache or user_cache_path("pi-system") / "artifacts"
    chosen = tuple(dict.fromkeys(backends or BACKENDS))
    try:
        found = calibrate(chosen, tuple(dict.fromkeys(links)), repeat, where, machine)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on") from None
    Console(width=110).print(*tables(found))
    for path in filter(None, (json_out, SHIPPED if keep else None)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found.to_json())
        click.echo(f"wrote {path.name}", err=True)
    PART.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
