"""``pi-train profile``: what an inference of an exported network costs, layer by layer, before anything is run."""

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from pi_system.artifact.store import load_public
from pi_system.backends.registry import AUTO, BACKENDS
from pi_system.channel.link import parse_link
from pi_system.cli.artifact_path import ArtifactPath
from pi_system.cli.options import json_option, show_result
from pi_system.cost import Prediction, default_calibration, load_calibration, predict, resolve
from pi_system.cost.predict import TOGETHER, InGroups, in_groups
from pi_system.kernels.paths import chosen_paths
from pi_system.program.reveal import REVEALS, Reveal

_PATH = click.Path(path_type=Path)
_MEASURE = "In a checkout benchmarks/calibrate.py fit --json-out FILE measures them; --calibration FILE takes them."


@click.command()
@click.argument("artifact", type=ArtifactPath())
@click.option("--backend", type=click.Choice([AUTO, *BACKENDS]), default=AUTO, show_default=True)
@click.option(
    "--reveal", type=click.Choice(REVEALS), default="logits", show_default=True, help="What the client learns."
)
@click.option("--link", default="lan", show_default=True, help="loopback, lan, wan or MBIT_S,RTT_MS.")
@click.option("--calibration", type=_PATH, help="Of benchmarks/calibrate.py; default: the one that ships.")
@json_option
def profile(artifact: Path, backend: str, reveal: Reveal, link: str, calibration: Path | None, as_json: bool) -> None:
    """Predict the cost of one inference of the exported network ARTIFACT, or builtin:NAME, per layer.

    A server reveals the label, unless told otherwise; crypten is predicted for logits alone.
    """
    shape = parse_link(link)
    prices = load_calibration(calibration) if calibration else default_calibration()
    public = load_public(artifact)
    found = predict(public, resolve(backend, public, shape, prices, reveal), shape, prices, reveal)
    groups = in_groups(public, found.backend, reveal)
    differing = prices.differs(chosen_paths())
    if as_json:
        about = {"link": link, "reveal": reveal, "machine": prices.of, "kernels_that_differ": differing}
        show_result({**about, **asdict(found), **groups._asdict()}, as_json)
        return
    console = Console(width=max(Console().width, 140))  # numbers are of no use when they are cut off
    console.print(_layers(found, link, reveal), _totals(found, groups), f"Prices: {prices.of}", sep="\n")
    if differing:
        here = ", ".join(f"{name} {path}" for name, path in differing.items())
        console.print(f"This machine's kernels are others ({here}), and so are its times. {_MEASURE}")


def _layers(found: Prediction, link: str, reveal: Reveal) -> Table:
    """A row a node; times are those on the critical path, so they add up to the whole."""
    table = Table(
        title=f"Online, {found.backend} over {link}, one picture, {reveal} revealed",
        title_justify="left",
        show_footer=True,
    )
    rows = found.layers
    compute, transfer, trips = (
        sum(getattr(row, f"{part}_ms") for row in rows) for part in ("compute", "transfer", "round_trip")
    )
    for header, footer in (
        ("layer", "total"),
        ("kind", ""),
        ("MACs", f"{sum(row.macs for row in rows):,}"),
        ("comparisons", f"{sum(row.relus for row in rows):,}"),
        ("rounds", f"{found.online_rounds}"),
        ("bytes up", f"{found.client_to_server_bytes:,}"),
        ("bytes down", f"{found.server_to_client_bytes:,}"),
        ("compute ms", f"{compute:.2f}"),
        ("transfer ms", f"{transfer:.2f}"),
        ("round trips ms", f"{trips:.2f}"),
    ):
        table.add_column(header, footer, justify="left" if header in ("layer", "kind") else "right", no_wrap=True)
    for row in rows:
        counts = (row.macs, row.relus, row.rounds, row.up_bytes, row.down_bytes)
        times = (row.compute_ms, row.transfer_ms, row.round_trip_ms)
        table.add_row(
            row.name,
            row.kind,
            *(f"{count:,}" if count else "" for count in counts),
            *(f"{ms:.2f}" if ms >= 0.005 else "" for ms in times),
        )
    return table


def _totals(found: Prediction, groups: InGroups) -> Table:
    table = Table("", "", title="Totals", title_justify="left", show_header=False)
    for name, text in (
        ("online", f"{found.online_ms:,.1f} ms"),
        (
            "offline, one inference",
            f"{found.offline_ms:,.0f} ms, {found.offline_rounds:g} round trips, {found.offline_bytes:,} bytes",
        ),
        (f"offline, each of {TOGETHER} in one call", f"at most {groups.together_bytes:,} bytes"),
        ("moved once a client and model", f"{found.setup_bytes:,} bytes"),
        ("stored, server", f"{found.stored_bytes_server:,} bytes"),
        ("stored, client", f"{found.stored_bytes_client:,} bytes"),
        ("stored once a model, server", f"{groups.lasting_bytes:,} bytes"),
    ):
        table.add_row(name, text)
    return table
