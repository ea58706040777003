"""Prices of this machine for the cost model (pi_system/cost), from a handful of small networks.

    python benchmarks/calibrate.py --keep          # every backend; about four minutes on two quiet cores
    python benchmarks/calibrate.py --backend gmw --link loopback --json-out gmw.json

All networks run over the first link, a small one over the others as well: computing is priced once, and a link adds
its rate and its round trips, which are known. --keep writes the calibration that ships with the package. Ctrl-C keeps
what was measured, and the same command goes on; --fresh forgets it.
"""

from pathlib import Path

import click
from measuring import RESULTS, ROOT, documents
from measuring.fit import fit_calibration
from measuring.machine import Measurement, measures
from measuring.samples import Group, measure_groups

from pi_system.cli.errors import PiCommand

SHIPPED = ROOT / "pi_system" / "cost" / "default_calibration.json"
PART = RESULTS / "cost_model" / "calibration.part.json"
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


@click.command(cls=PiCommand)
@measures
@documents.backend_option(BACKENDS)
@documents.link_option("loopback", "lan", "wan")
@documents.repeat_option(5)
@click.option("--machine", default="", help="What to call this machine; default: what it says of itself.")
@click.option("--json-out", type=documents.PATH, help="Write the calibration to this file, too.")
@click.option("--keep", is_flag=True, help="Write the one that ships with the package, too.")
@click.option("--fresh", is_flag=True, help="Forget what a stopped run measured.")
@documents.cache_option
def main(
    run: Measurement,
    backends: tuple[str, ...],
    links: tuple[str, ...],
    repeat: int,
    machine: str,
    json_out: Path | None,
    keep: bool,
    fresh: bool,
    cache: Path,
) -> None:
    """Measure this machine's prices."""
    if fresh:
        PART.unlink(missing_ok=True)
    backends, links = documents.unique(backends, BACKENDS), documents.unique(links)
    groups = [Group(name, links[0], backends) for name in NETWORKS]
    groups += [Group(LINKED, link, backends) for link in links[1:]]
    try:
        samples, artifacts = measure_groups(groups, repeat, cache, PART)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on") from None
    about = run.environment()
    words = machine or f"{about.cpu}, {about.cores} cores, one a party, kernels {about.kernels}"
    found = fit_calibration(samples, artifacts, words, about.model_dump(mode="json"))
    prices = [{"work": name, "price": price} for name, price in found.prices.items()]
    documents.show("Prices", prices, "work|ns a unit=price:,.4g")
    columns = "network|backend|link|online=online:+.1%|offline=offline:+.1%"
    documents.show("Fit", [row.model_dump() for row in found.residuals], columns)
    for path in filter(None, (json_out, SHIPPED if keep else None)):
        found.write(path)
        documents.say(f"wrote {path.name}")
    PART.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
