"""Rows of a comparison: systems taking turns on one thing over one link, and what stands side by side.

Medians, and beside them means: oblivious transfers are extended in large steps that serve several runs, so a short
thing such as ReLU alone costs little in most runs and much in some.
"""

import statistics
from collections.abc import Callable
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from systems import Place, Sample, System

from pi_system.measure import Timing

__all__ = ["FIRST", "Error", "Row", "ratios", "show", "take_turns"]

FIRST = 1
"""Runs that are reported apart: base OTs, keys and whatever else a system makes once a session."""
Error = Callable[[str, int, NDArray[np.float64]], float]
"""Largest error of (system's name, index of the run, its output)."""
Row = dict[str, Any]


def take_turns(runs: int, place: Place, what: str, systems: list[System], error: Error) -> list[Row]:
    """Run the systems one after another, ``runs`` times, the first ones apart; a row each."""
    samples: dict[str, list[Sample]] = {system.name: [] for system in systems}
    errors = dict.fromkeys(samples, 0.0)
    for index in range(runs):
        for system in systems:
            sample = system.run(index)
            samples[system.name].append(sample)
            errors[system.name] = max(errors[system.name], error(system.name, index, sample.output))
            about = f"{sample.ms:.0f} ms, {sample.total_bytes / 1e6:.2f} MB"
            click.echo(f"{what} {place.name} {system.name}: {about}", err=True)
    return [
        row(what, place, system, samples[system.name], errors[system.name], theirs=system.name.startswith("spu:"))
        for system in systems
    ]


def row(what: str, place: Place, system: System, samples: list[Sample], error: float, *, theirs: bool) -> Row:
    """One system on one link: the first run apart, the others in the order they were taken."""
    first, counted = samples[0], samples[FIRST:]
    offline = [sample.offline_ms for sample in counted if sample.offline_ms is not None]
    return {
        "what": what,
        "link": place.name,
        "system": system.name,
        "theirs": theirs,
        "ms": Timing.of([sample.ms for sample in counted]).model_dump(),
        "mean_ms": statistics.fmean(sample.ms for sample in counted),
        "offline_ms": Timing.of(offline).model_dump() if offline else None,
        "total_bytes": statistics.median(sample.total_bytes for sample in counted),
        "mean_bytes": statistics.fmean(sample.total_bytes for sample in counted),
        "total_bytes_samples": [sample.total_bytes for sample in counted],
        "online_bytes": [sample.online_bytes for sample in counted],
        "client_to_server_bytes": [sample.client_to_server_bytes for sample in counted],
        "server_to_client_bytes": [sample.server_to_client_bytes for sample in counted],
        "first_run": {"ms": first.ms, "total_bytes": first.total_bytes},
        "peak_memory_bytes": system.peak().model_dump(),
        "max_abs_error": error,
    }


def ratios(rows: list[Row]) -> list[Row]:
    """Every system of ours beside every one of theirs on the same thing and link."""
    return [
        {
            "what": ours["what"],
            "link": ours["link"],
            "ours": ours["system"],
            "theirs": other["system"],
            "times_faster": other["ms"]["median"] / ours["ms"]["median"],
            "bytes_ratio": ours["total_bytes"] / other["total_bytes"],
            "mean_times_faster": other["mean_ms"] / ours["mean_ms"],
            "mean_bytes_ratio": ours["mean_bytes"] / other["mean_bytes"],
        }
        for ours in rows
        for other in rows
        if other["theirs"] and not ours["theirs"] and (ours["what"], ours["link"]) == (other["what"], other["link"])
    ]


def show(rows: list[Row], found: list[Row]) -> None:
    """Tables for people."""
    table = Table(title="Offline and online together", title_justify="left")
    for name in (
        "what",
        "link",
        "system",
        "s",
        "of it offline",
        "MB",
        "first s",
        "first MB",
        "peak MB s/c",
        "abs error",
    ):
        table.add_column(name, no_wrap=True)
    for r in rows:
        peak, first = r["peak_memory_bytes"], r["first_run"]
        table.add_row(
            r["what"],
            r["link"],
            r["system"],
            f"{r['ms']['median'] / 1000:.2f}",
            f"{r['offline_ms']['median'] / 1000:.2f}" if r["offline_ms"] else "",
            f"{r['total_bytes'] / 1e6:.2f}",
            f"{first['ms'] / 1000:.2f}",
            f"{first['total_bytes'] / 1e6:.2f}",
            f"{peak['server'] / 1e6:.0f}/{peak['client'] / 1e6:.0f}",
            f"{r['max_abs_error']:.1e}",
        )
    beside = Table("what", "link", "ours", "theirs", "times faster", "bytes ours/theirs", title="Side by side")
    for r in found:
        names = (r["what"], r["link"], r["ours"], r["theirs"])
        beside.add_row(*names, f"{r['times_faster']:.2f}", f"{r['bytes_ratio']:.2f}")
    Console(width=max(Console().width, 150)).print(table, beside)
