"""Rows of a comparison: systems taking turns on one thing over one link, and what stands side by side.

Medians, and beside them means: oblivious transfers are extended in large steps that serve several runs, so a short
thing such as ReLU alone costs little in most runs and much in some.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from measuring import documents
from measuring.processes import Site
from measuring.schema import Timing
from measuring.sessions import Network, in_turn
from numpy.typing import NDArray
from peers.systems import OurPair, PeerRun, System, crypten_shipped, spu_pairs

FIRST = 1
"""Runs that are reported apart: base OTs, keys and whatever else a system makes once a session."""
Error = Callable[[str, int, NDArray[np.float64]], float]
"""Largest error of (system's name, index of the run, its output)."""
Row = dict[str, Any]


def network_rows(
    path: Path,
    site: Site,
    repeat: int,
    backends: Sequence[str],
    spu: tuple[str | None, Sequence[str]],
    *,
    shipped: bool = False,
) -> tuple[Network, list[Row]]:
    """One network under our backends, CrypTen as ``shipped`` and SPU (its interpreter or None, protocols), in turn."""
    runs, (python, protocols) = FIRST + repeat, spu
    with in_turn([path], [(backend, site, "logits") for backend in backends], runs) as running, ExitStack() as stack:
        network, systems = running[0].network, list[System](map(OurPair, running))
        if shipped:
            own = crypten_shipped(network.path, network.file, site, network.file.parent)
            systems.append(stack.enter_context(own))
        if python is not None:
            systems += spu_pairs(stack, python, protocols, network, site)
        return network, take_turns(runs, site, network.name, systems, network.error)


def take_turns(runs: int, site: Site, what: str, systems: list[System], error: Error) -> list[Row]:
    """PeerRun the systems one after another, ``runs`` times, the first ones apart; a row each."""
    samples: dict[str, list[PeerRun]] = {system.name: [] for system in systems}
    errors = dict.fromkeys(samples, 0.0)
    for index in range(runs):
        for system in systems:
            sample = system.run(index)
            samples[system.name].append(sample)
            errors[system.name] = max(errors[system.name], error(system.name, index, sample.output))
            documents.say(f"{what} {site.name} {system.name}: {sample.ms:.0f} ms, {sample.total_bytes / 1e6:.2f} MB")
    return [_row(what, site, system, samples[system.name], errors[system.name]) for system in systems]


def _row(what: str, site: Site, system: System, samples: list[PeerRun], error: float) -> Row:
    """One system on one link: the first run apart, the others in the order they were taken."""
    first, counted = samples[0], samples[FIRST:]
    offline = [sample.offline_ms for sample in counted if sample.offline_ms is not None]
    return {
        "what": what,
        "link": site.name,
        "system": system.name,
        "theirs": system.name.startswith("spu:"),
        "ms": Timing.of([sample.ms for sample in counted]).model_dump(),
        "mean_ms": fmean(sample.ms for sample in counted),
        "offline_ms": Timing.of(offline).model_dump() if offline else None,
        "total_bytes": median(sample.total_bytes for sample in counted),
        "mean_bytes": fmean(sample.total_bytes for sample in counted),
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
    pairs = [(ours, other) for ours in rows for other in rows if other["theirs"] and not ours["theirs"]]
    return [
        {
            **{name: ours[name] for name in ("what", "link")},
            "ours": ours["system"],
            "theirs": other["system"],
            "times_faster": other["ms"]["median"] / ours["ms"]["median"],
            "bytes_ratio": ours["total_bytes"] / other["total_bytes"],
            "mean_times_faster": other["mean_ms"] / ours["mean_ms"],
            "mean_bytes_ratio": ours["mean_bytes"] / other["mean_bytes"],
        }
        for ours, other in pairs
        if (ours["what"], ours["link"]) == (other["what"], other["link"])
    ]


def show_rows(rows: list[Row]) -> None:
    """Tables for people."""
    documents.show(
        "Offline and online together",
        [{**row, "offline": row["offline_ms"] and row["offline_ms"]["median"]} for row in rows],
        "what|link|system|ms=ms.median:,.0f|of it offline=offline:,.0f|bytes=total_bytes:,.0f|"
        "first ms=first_run.ms:,.0f|first bytes=first_run.total_bytes:,d|peak, server=peak_memory_bytes.server:,d|"
        "client=peak_memory_bytes.client:,d|abs error=max_abs_error:.1e",
    )
    beside = "what|link|ours|theirs|times faster=times_faster:.2f|bytes ours/theirs=bytes_ratio:.2f"
    documents.show("Side by side", ratios(rows), beside)
