"""Does the cost model hold on networks it was not fitted on? Predictions beside measurements, and their plot.

    python benchmarks/validate_cost_model.py run      # with the calibration that ships; about five minutes
    python benchmarks/validate_cost_model.py again    # predicts the committed measurements again, measures nothing
    python benchmarks/validate_cost_model.py plot benchmarks/results/cost_model/validation.json --out docs/img

Other families, widths, depths, picture sizes than those of calibrate.py; thinned, culled, pixel-masked, with squares.
Bytes, rounds and storage must be equal; tests/unit/cost/test_validation.py holds the errors against the goals. Ctrl-C
keeps what was measured, and the same command goes on; --fresh forgets it.
"""

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from platformdirs import user_cache_path

from pi_system.cli.errors import PiGroup
from pi_system.cost import default_calibration, load_calibration
from pi_system.cost.validation import Validation, load_validation
from pi_system.measure import environment, party_cores
from pi_system.measure.cost_samples import Group, measure_groups
from pi_system.measure.environment import load_average
from pi_system.measure.latency import THREADS

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "cost_model"
RESULT = RESULTS / "validation.json"
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
COLOURS = {"fss": "#0072b2", "gmw": "#d55e00", "gc": "#009e73", "crypten": "#cc79a7"}
MARKERS = {"loopback": "o", "lan": "s", "wan": "^"}


@click.group(cls=PiGroup)
def main() -> None:
    """Validate the cost model."""


@main.command()
@click.option("--calibration", type=click.Path(path_type=Path), help="Default: the one that ships.")
@click.option("--repeat", default=5, show_default=True, type=click.IntRange(1, 100), help="Calls counted.")
@click.option("--json-out", type=click.Path(path_type=Path), default=RESULT, help="File to write.")
@click.option("--fresh", is_flag=True, help="Forget what a stopped run measured.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of random-weight artifacts.")
def run(calibration: Path | None, repeat: int, json_out: Path, fresh: bool, cache: Path | None) -> None:
    """Measure, predict, compare."""
    before = load_average()
    prices = load_calibration(calibration) if calibration else default_calibration()
    groups = [Group(g.network, g.link, tuple(b for b in g.backends if b in prices.backends)) for g in GROUPS]
    part = json_out.with_suffix(".part.json")
    if fresh:
        part.unlink(missing_ok=True)
    where = cache or user_cache_path("pi-system") / "artifacts"
    samples, artifacts = measure_groups(groups, repeat, where, part, lambda line: click.echo(line, err=True))
    found = environment(pinned_cores=party_cores(), threads=THREADS, load_before=before)
    networks = {name: artifact.public for name, artifact in artifacts.items()}
    write(Validation.of(samples, networks, prices, found.model_dump(mode="json")), json_out)
    part.unlink(missing_ok=True)


@main.command()
@click.option("--calibration", type=click.Path(path_type=Path), help="Default: the one that ships.")
@click.option("--json-out", type=click.Path(path_type=Path), default=RESULT, help="File to read and write.")
def again(calibration: Path | None, json_out: Path) -> None:
    """Predict the measurements of an earlier run again."""
    prices = load_calibration(calibration) if calibration else default_calibration()
    write(load_validation(json_out).again(prices), json_out)


def write(validation: Validation, path: Path) -> None:
    """Write the JSON and print the comparison."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(validation.model_dump_json(by_alias=True) + "\n")
    table = Table("network", "backend", "link", title="Measured and predicted, ms", title_justify="left")
    for name in ("online", "predicted", "error", "offline", "predicted ", "error ", "exact"):
        table.add_column(name, justify="right")
    for p in validation.points:
        online = (f"{p.measured_ms:.1f}", f"{p.predicted_ms:.1f}", f"{p.error:+.1%}")
        offline = (f"{p.offline_measured_ms:.0f}", f"{p.offline_predicted_ms:.0f}", f"{p.offline_error:+.1%}")
        table.add_row(p.network, p.backend, p.link, *online, *offline, "yes" if p.exact else "NO")
    Console(width=130).print(table)
    click.echo(f"online error: median {validation.median_error:.1%}, worst {validation.worst_error:.1%}")


@main.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for PNG and SVG.")
def plot(result: Path, out: Path) -> None:
    """Draw predicted against measured online milliseconds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    validation = load_validation(result)
    plt.rcParams.update({"font.size": 12, "svg.hashsalt": "cost-model"})
    figure, axes = plt.subplots(figsize=(6, 5))
    measured = [point.measured_ms for point in validation.points]
    ends = [min(measured) / 1.5, max(measured) * 1.5]
    for error, shade in ((0.25, "#dddddd"), (0.1, "#bbbbbb")):
        low, high = [[end * factor for end in ends] for factor in (1 - error, 1 + error)]
        axes.fill_between(ends, low, high, color=shade, linewidth=0, label=f"within {error:.0%}")
    axes.plot(ends, ends, color="black", linewidth=1)
    for backend, colour in COLOURS.items():
        chosen = [point for point in validation.points if point.backend == backend]
        if not chosen:
            continue
        for link, marker in MARKERS.items():
            points = [point for point in chosen if point.link == link]
            x, y = [p.measured_ms for p in points], [p.predicted_ms for p in points]
            axes.plot(x, y, marker, color=colour, markeredgecolor="white", markersize=8)
        axes.plot([], [], "o", color=colour, label=backend)
    for link, marker in MARKERS.items():
        axes.plot([], [], marker, color="white", markeredgecolor="black", label=link)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    axes.set(xlabel="measured online ms", ylabel="predicted online ms")
    axes.legend(fontsize=11, frameon=False, ncols=2, columnspacing=0.8, handletextpad=0.3)
    figure.tight_layout()
    out.mkdir(parents=True, exist_ok=True)
    for suffix in ("png", "svg"):
        figure.savefig(out / f"cost-model.{suffix}", dpi=150, metadata={"Date": None} if suffix == "svg" else None)
    click.echo(f"wrote {out / 'cost-model.png'}")


if __name__ == "__main__":
    main()
