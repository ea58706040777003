"""Runs of many networks over many links, and what every benchmark needs around them."""

import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pi_system.artifact.model import Artifact
from pi_system.export.random import random_pictures
from pi_system.measure.latency import WARMUP, LatencyTask, measure_link
from pi_system.measure.random_artifacts import SEED
from pi_system.measure.schema import LatencyResult, NetworkCounts, Revealed
from pi_system.program import (
    mac_count,
    parameter_count,
    relu_count,
    relu_layers,
    square_count,
    square_layers,
)

__all__ = ["counts", "orderly_stop", "run_all"]


def counts(artifact: Artifact) -> NetworkCounts:
    """Counts of the exported graph."""
    graph = artifact.public.graph
    return NetworkCounts(
        network=artifact.public.name,
        relus=relu_count(graph),
        relu_layers=relu_layers(graph),
        macs=mac_count(graph),
        parameters=parameter_count(graph),
        squares=square_count(graph),
        square_layers=square_layers(graph),
    )


@contextmanager
def orderly_stop() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt, so that no process is left behind."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_all(
    artifacts: Mapping[Path, Artifact],
    backends: Sequence[str],
    links: Sequence[str],
    repeat: int,
    batch: int,
    reveals: Sequence[Revealed] = ("logits",),
) -> tuple[LatencyResult, ...]:
    """Measure every combination, backends in turn within each repetition; a progress bar goes to stderr.

    Args:
        artifacts: by the folder they were loaded from.
        backends: names in the registry.
        links: names, or RATE_MBIT,RTT_MS.
        repeat: calls counted, each with new pictures.
        batch: pictures a call.
        reveals: what servers reveal, each with every backend.

    Raises:
        PeerUnavailableError: a process failed; the message has the end of its log.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    total = len(artifacts) * len(links) * len(backends) * len(reveals) * (WARMUP + repeat)
    results: list[LatencyResult] = []
    with Progress(*columns, console=Console(stderr=True)) as bar, orderly_stop():
        line = bar.add_task("", total=total)
        for path, artifact in artifacts.items():
            preprocess = artifact.public.preprocess
            shape = (preprocess.channels, preprocess.height, preprocess.width)
            pictures = random_pictures(shape, (WARMUP + repeat) * batch, SEED)
            for link in links:
                title = f"{artifact.public.name} {link}"

                def progress(backend: str, online_ms: float, title: str = title) -> None:
                    bar.update(line, advance=1, description=f"{title} {backend} {online_ms:.0f} ms")

                bar.update(line, description=f"{title}: starting")
                with tempfile.TemporaryDirectory(prefix="pi-latency-") as folder:
                    task = LatencyTask(
                        artifact=artifact,
                        artifact_path=path,
                        pictures=pictures,
                        backends=backends,
                        link=link,
                        repeat=repeat,
                        batch=batch,
                        folder=Path(folder),
                        reveals=reveals,
                    )
                    results += measure_link(task, progress)
    return tuple(results)
