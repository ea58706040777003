"""Online latency of several backends over one link, taken side by side.

Every backend has its own server and client process, each pinned to its party's core. In every repetition each
backend in turn prepares and runs one call, and plaintext runs on the client's core: whatever slows the machine down
for a while slows all of them. The first repetition warms up and is not counted; its offline phase includes what is
sent once a model.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from measuring.processes import Site, party_cores
from measuring.reference import PlaintextTime, floor_ms
from measuring.schema import LatencyResult, OnlineBytes, PartyBytes, Revealed, Timing
from measuring.sessions import WARMUP, Session, in_turn
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pi_system.channel.link import parse_link
from pi_system.errors import InvariantError

_BASELINE: Final = "crypten"
"""CrypTen's backend differs from ours in two ways that matter here: its last place is not the fixed-point
interpreter's, and its rounds are exchanges in which both parties send at once, half a round trip each."""


def run_all(
    paths: Sequence[Path],
    backends: Sequence[str],
    links: Sequence[str],
    repeat: int,
    batch: int,
    reveals: Sequence[Revealed] = ("logits",),
) -> tuple[LatencyResult, ...]:
    """Measure every combination, backends in turn within each repetition; a progress bar goes to stderr.

    Args:
        paths: folders of artifacts.
        backends: names in the registry.
        links: names, or RATE_MBIT,RTT_MS.
        repeat: calls counted, each with new pictures.
        batch: pictures a call.
        reveals: what servers reveal, each with every backend.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    calls, results, core = WARMUP + repeat, list[LatencyResult](), party_cores()["client"]
    total = len(paths) * len(links) * len(backends) * len(reveals) * calls
    with Progress(*columns, console=Console(stderr=True)) as bar:
        line = bar.add_task("starting", total=total)
        for path, site in ((path, Site(name=link, link=link)) for path in paths for link in links):
            combinations = [(backend, site, reveal) for backend in backends for reveal in reveals]
            plain: list[PlaintextTime] = []
            with in_turn([path], combinations, calls, batch=batch) as running:
                for first in range(0, calls * batch, batch):
                    plain += running[0].network.reference.run_timed(first, batch, core)
                    for one in running:
                        name, ms = one.network.name, one.call(first, batch).cost.online_ms
                        bar.update(line, advance=1, description=f"{name} {site.link} {one.backend} {ms:.0f} ms")
                results += [_result(one, batch, plain) for one in running]
    return tuple(results)


def _result(found: Session, batch: int, plain: list[PlaintextTime]) -> LatencyResult:
    last, comparable, timing = found.online[-1], found.backend != _BASELINE, Timing.of(found.online_ms)
    conv_ms = median(run.conv_ms for run in plain)
    floor = floor_ms(
        conv_ms,
        sent_bytes=last.client_to_server_bytes,
        received_bytes=last.server_to_client_bytes,
        round_trips=last.rounds if comparable else last.rounds / 2,
        link=parse_link(found.site.link),
    )
    relus, storage = found.network.counts.relus, found.stored[-1]
    offline_ms, moved = [ms / batch for ms in found.offline_ms], found.offline[-1].offline_bytes
    peak = found.peak()
    if peak.server == 0:
        raise InvariantError(f"backend {found.backend}: expected a server process with a session, found none")
    return LatencyResult(
        network=found.network.name,
        backend=found.backend,
        link=found.site.link,
        batch=batch,
        reveal=found.reveal,
        online_ms=timing,
        online_rounds=last.rounds,
        online_bytes=OnlineBytes(
            client_to_server=last.client_to_server_bytes, server_to_client=last.server_to_client_bytes
        ),
        frame_bytes=last.frame_bytes,
        us_per_relu=_ratio(1000 * timing.median, relus * batch),
        bytes_per_relu=_ratio(last.client_to_server_bytes + last.server_to_client_bytes, relus * batch),
        first_ms=found.first_ms if batch == 1 else None,
        offline_ms=median(offline_ms),
        offline_ms_samples=tuple(offline_ms),
        offline_bytes=moved // batch,
        setup_bytes=max(0, found.offline[0].offline_bytes - moved),
        storage_bytes=PartyBytes(server=storage.server // batch, client=storage.client // batch),
        stored_bytes_per_relu=_ratio(max(storage.server, storage.client) // batch, relus),
        peak_memory_bytes=peak,
        plaintext_ms=median(run.total_ms for run in plain),
        plaintext_conv_ms=conv_ms,
        max_abs_error=found.worst.absolute,
        max_ulp_error=found.worst.ulps if comparable else None,
        within_ulp_bound=found.worst.bounded if comparable else None,
        floor_ms=floor,
        floor_distance=timing.median / floor,
    )


def _ratio(amount: float, count: int) -> float | None:
    return amount / count if count else None
