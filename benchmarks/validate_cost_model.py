"""Does the cost model hold on networks it was not fitted on? Predictions beside measurements.

    python benchmarks/validate_cost_model.py run      # with the calibration that ships; about five minutes
    python benchmarks/validate_cost_model.py again    # predicts the committed measurements again, measures nothing

Other families, widths, depths, picture sizes than those of calibrate.py; thinned, culled, pixel-masked, with squares.
Bytes, rounds and storage must be equal; tests/unit/benchmarks/test_validation.py holds the errors against the goals.
Ctrl-C keeps what was measured, and the same command goes on; --fresh forgets it.
"""

from pathlib import Path

import click
from measuring import RESULTS
from measuring.documents import PATH, cache_option, repeat_option, show
from measuring.machine import Measurement, measures
from measuring.samples import Group, measure_groups
from measuring.validation import Validation

from pi_system.cli.errors import PiGroup
from pi_system.cost import Calibration, default_calibration, load_calibration

RESULT = RESULTS / "cost_model" / "validation.json"
ALL = ("fss", "gmw", "gc", "crypten")
OURS = ("fss", "gmw", "gc")
GROUPS = (
    Group("vgg16:m=12", "loopback", ALL),
    Group("vgg16:m=12", "lan", ALL),
    Group("wrn-16-2:m=8", "loopback", ALL),
    Group("hrn-2x5x3x:m=16/keep=234", "loopback", ALL),
    Group("hrn-2x5x3x:m=16/keep=234", "lan", ("fss", "gmw", "crypten")),
    Group("resnet18:m=24/keep=23thin", "loopback", ALL),
    Group("resnet18:m=24/keep=23thin", "lan", ALL),
    Group("resnet18:m=12,size=48", "loopback", (*OURS, "crypten")),
    Group("resnet18:m=32/relus=40000:34", "lan", OURS),
    Group("resnet18:m=12/square", "loopback", ALL),
    Group("resnet18:m=6,size=16", "wan", ALL),
    Group("wrn-16-2:m=4,size=16", "wan", OURS),
    Group("resnet18:m=64", "loopback", ("fss", "gmw")),
    Group("resnet34:m=8/keep=24", "loopback", ("fss", "crypten")),
    Group("hrn-6x6x2x:m=4", "loopback", ALL),
)
calibration_option = click.option("--calibration", type=PATH, help="Default: the one that ships.")


@click.group(cls=PiGroup)
def main() -> None:
    """Validate the cost model."""


@main.command()
@measures
@calibration_option
@repeat_option(5)
@click.option("--json-out", type=PATH, default=RESULT, help="File to write.")
@click.option("--fresh", is_flag=True, help="Forget what a stopped run measured.")
@cache_option
def run(run: Measurement, calibration: Path | None, repeat: int, json_out: Path, fresh: bool, cache: Path) -> None:
    """Measure, predict, compare."""
    prices = _prices(calibration)
    groups = [Group(g.network, g.link, tuple(b for b in g.backends if b in prices.backends)) for g in GROUPS]
    part = json_out.with_suffix(".part.json")
    if fresh:
        part.unlink(missing_ok=True)
    samples, artifacts = measure_groups(groups, repeat, cache, part)
    found = run.environment().model_dump(mode="json")
    networks = {name: artifact.public for name, artifact in artifacts.items()}
    write(Validation.of(samples, networks, prices, found), json_out)
    part.unlink(missing_ok=True)


@main.command()
@calibration_option
@click.option("--json-out", type=PATH, default=RESULT, help="File to read and write.")
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
    show("Measured and predicted, ms", rows, columns)
    click.echo(f"online error: median {validation.median_error:.1%}, worst {validation.worst_error:.1%}")


if __name__ == "__main__":
    main()
