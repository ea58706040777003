"""Prices of this machine for the cost model (pi_system/cost), and whether they hold on networks they are not fitted on.

    python benchmarks/calibrate.py fit --keep      # every backend; about 20 minutes on two quiet cores
    python benchmarks/calibrate.py fit --backend gmw --link loopback --json-out gmw.json
    python benchmarks/calibrate.py validate        # the calibration that ships; about 35 minutes
    python benchmarks/calibrate.py again           # predicts the committed measurements again, measures nothing

fit: a handful of small networks, all over the first link, one over the others as well: computing is priced once, and a
link adds its rate and its round trips, which are known. Their weighted layers are timed alone after that, which
takes seconds. --keep writes the calibration that ships with the package.

validate: other families, widths, depths, picture sizes; thinned, culled, pixel-masked, with squares. Bytes, rounds and
storage must be equal; tests/unit/benchmarks/test_validation.py holds the errors against the goals.

Ctrl-C keeps what was measured, and the same command goes on; --fresh forgets it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from measuring import RESULTS, ROOT, documents
from measuring.fit import fit_calibration
from measuring.layer_prices import measure_layers
from measuring.machine import Measurement, measures
from measuring.samples import CostSample, Group, measure_groups
from measuring.validation import Validation

from pi_system.artifact.model import Artifact
from pi_system.cli.errors import PiGroup
from pi_system.cost import Calibration, default_calibration, load_calibration

SHIPPED = ROOT / "pi_system" / "cost" / "default_calibration.json"
PART = RESULTS / "cost_model" / "calibration.part.json"
RESULT = RESULTS / "cost_model" / "validation.json"
ANY_BITS = ("fss", "gmw", "gc", "crypten")
BACKENDS = (*ANY_BITS, "table")
OURS = ("fss", "gmw", "gc")
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
FEW = ("resnet18:m=4,size=8/compare=8", f"{LINKED}/compare=8", "resnet18:m=16/compare=8", "resnet18:m=16/compare=5")
"""For backends that take few compared bits only; the second one over every link."""
UNSEEN = (
    Group("vgg16:m=12", "loopback", ANY_BITS),
    Group("vgg16:m=12", "lan", ANY_BITS),
    Group("wrn-16-2:m=8", "loopback", ANY_BITS),
    Group("hrn-2x5x3x:m=16/keep=234", "loopback", ANY_BITS),
    Group("hrn-2x5x3x:m=16/keep=234", "lan", ("fss", "gmw", "crypten")),
    Group("resnet18:m=24/keep=23thin", "loopback", ANY_BITS),
    Group("resnet18:m=24/keep=23thin", "lan", ANY_BITS),
    Group("resnet18:m=12,size=48", "loopback", ANY_BITS),
    Group("resnet18:m=32/relus=40000:34", "lan", OURS),
    Group("resnet18:m=12/square", "loopback", ANY_BITS),
    Group("resnet18:m=6,size=16", "wan", ANY_BITS),
    Group("wrn-16-2:m=4,size=16", "wan", OURS),
    Group("resnet18:m=64", "loopback", ("fss", "gmw")),
    Group("resnet34:m=8/keep=24", "loopback", ("fss", "crypten")),
    Group("hrn-6x6x2x:m=4", "loopback", ANY_BITS),
    Group("vgg16:m=12/compare=8", "lan", ("table",)),
    Group("hrn-2x5x3x:m=16/keep=234/compare=7", "loopback", ("table",)),
    Group("resnet18:m=12,size=48/compare=9", "loopback", ("table",)),
    Group("wrn-16-2:m=4,size=16/compare=8", "wan", ("table",)),
)
calibration_option = click.option("--calibration", type=documents.PATH, help="Default: the one that ships.")
visits_option = click.option(
    "--visits", type=click.IntRange(1, 20), default=2, show_default=True, help="Times that every network has its turn."
)
fresh_option = click.option("--fresh", is_flag=True, help="Forget what a stopped run measured.")
Measured = tuple[list[CostSample], dict[str, Artifact]]


@click.group(cls=PiGroup)
def main() -> None:
    """Fit the cost model to this machine, and validate it."""


@contextmanager
def measured(
    groups: Sequence[Group], repeat: int, visits: int, cache: Path, part: Path, fresh: bool
) -> Iterator[Measured]:
    """What ``measure_groups`` finds; ``part`` is kept until the block that writes the result is over."""
    if fresh:
        part.unlink(missing_ok=True)
    try:
        found = measure_groups(groups, repeat, visits, cache, part)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command goes on") from None
    yield found
    part.unlink(missing_ok=True)


@main.command()
@measures
@documents.backend_option(BACKENDS)
@documents.link_option("loopback", "lan", "wan")
@documents.repeat_option(5)
@visits_option
@click.option("--machine", default="", help="What to call this machine; default: what it says of itself.")
@click.option("--json-out", type=documents.PATH, help="Write the calibration to this file, too.")
@click.option("--keep", is_flag=True, help="Write the one that ships with the package, too.")
@fresh_option
@documents.cache_option
def fit(
    run: Measurement,
    backends: tuple[str, ...],
    links: tuple[str, ...],
    repeat: int,
    visits: int,
    machine: str,
    json_out: Path | None,
    keep: bool,
    fresh: bool,
    cache: Path,
) -> None:
    """Measure this machine's prices."""
    backends, links = documents.unique(backends, BACKENDS), documents.unique(links)
    groups = fitted(backends, links)
    with measured(groups, repeat, visits, cache, PART, fresh) as (samples, artifacts):
        layers = measure_layers(artifact.public.graph for artifact in artifacts.values())
        about = run.environment()
        words = machine or f"{about.cpu}, {about.cores} cores, one a party, kernels {about.kernels}"
        found = fit_calibration(samples, layers, artifacts, words, about.model_dump(mode="json"))
        prices = [{"work": name, "price": price} for name, price in found.prices.items()]
        documents.show("Prices", prices, "work|ns a unit=price:,.4g")
        columns = "network|backend|link|online=online:+.1%|offline=offline:+.1%"
        documents.show("Fit", [row.model_dump() for row in found.residuals], columns)
        for path in filter(None, (json_out, SHIPPED if keep else None)):
            found.write(path)
            documents.say(f"wrote {path.name}")


def fitted(backends: Sequence[str], links: Sequence[str]) -> list[Group]:
    """What ``fit`` measures: all networks over the first link, one over the others."""
    wide, few = (tuple(name for name in backends if (name in ANY_BITS) == wanted) for wanted in (True, False))
    found = []
    for networks, linked, names in ((NETWORKS, LINKED, wide), (FEW, FEW[1], few)):
        if names:
            found += [Group(name, links[0], names) for name in networks]
            found += [Group(linked, link, names) for link in links[1:]]
    return found


@main.command()
@measures
@calibration_option
@documents.repeat_option(5)
@visits_option
@click.option("--json-out", type=documents.PATH, default=RESULT, help="File to write.")
@fresh_option
@documents.cache_option
def validate(
    run: Measurement,
    calibration: Path | None,
    repeat: int,
    visits: int,
    json_out: Path,
    fresh: bool,
    cache: Path,
) -> None:
    """Measure, predict, compare."""
    prices = _prices(calibration)
    groups = [Group(g.network, g.link, tuple(b for b in g.backends if b in prices.backends)) for g in UNSEEN]
    with measured(groups, repeat, visits, cache, json_out.with_suffix(".part.json"), fresh) as (samples, artifacts):
        networks = {name: artifact.public for name, artifact in artifacts.items()}
        write(Validation.of(samples, networks, prices, run.environment().model_dump(mode="json")), json_out)


@main.command()
@calibration_option
@click.option("--json-out", type=documents.PATH, default=RESULT, help="File to read and write.")
def again(calibration: Path | None, json_out: Path) -> None:
    """Predict the measurements of an earlier run again."""
    write(Validation.read(json_out).again(_prices(calibration)), json_out)


def _prices(calibration: Path | None) -> Calibration:
    return load_calibration(calibration) if calibration else default_calibration()


def write(validation: Validation, path: Path) -> None:
    """Write the JSON and print the comparison."""
    validation.write(path)
    rows = [p.model_dump() | p.errors() for p in validation.points]
    columns = "network|backend|link|online=measured_ms:.1f|predicted=predicted_ms:.1f|error=error:+.1%|"
    columns += "offline=offline_measured_ms:.0f|predicted=offline_predicted_ms:.0f|error=offline_error:+.1%|exact=exact"
    documents.show("Measured and predicted, ms", rows, columns)
    click.echo(f"online error: median {validation.median_error:.1%}, worst {validation.worst_error:.1%}")


if __name__ == "__main__":
    main()
