"""Measured samples for the cost model: real runs of random-weight networks, group by group, resumable.

A group is one network over one link with all its backends, taken in turn (measure/latency.py). What is done is kept
in a part file beside the result, so that a stopped run goes on where it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from pi_system.artifact.model import Artifact
from pi_system.artifact.store import load
from pi_system.cost import Sample
from pi_system.cost.predict import Workload
from pi_system.errors import ConfigError
from pi_system.measure.random_artifacts import cached_artifact
from pi_system.measure.runs import run_all
from pi_system.measure.schema import LatencyResult

__all__ = ["Group", "measure_groups"]

_SAMPLES = TypeAdapter(list[Sample])


@dataclass(frozen=True, slots=True)
class Group:
    """One network over one link.

    Attributes:
        network: its name, see random_artifacts.py.
        link: name or RATE_MBIT,RTT_MS.
        backends: taken in turn.
    """

    network: str
    link: str
    backends: tuple[str, ...]


def measure_groups(
    groups: Sequence[Group], repeat: int, cache: Path, part: Path, report: Callable[[str], None]
) -> tuple[list[Sample], dict[str, Artifact]]:
    """Measure every group that ``part`` does not hold yet.

    Args:
        groups: what to measure.
        repeat: calls counted, of each backend.
        cache: folder of random-weight artifacts.
        part: file of what is done; the caller deletes it when the result is written.
        report: called with a line before each group.

    Returns:
        Samples in order, and the networks by name.

    Raises:
        PeerUnavailableError: a process failed.
    """
    done = _SAMPLES.validate_json(part.read_text()) if part.exists() else []
    artifacts: dict[str, Artifact] = {}
    for index, group in enumerate(groups):
        path = cached_artifact(group.network, cache).absolute()
        artifacts.setdefault(group.network, load(path))
        held = {(sample.network, sample.link, sample.backend) for sample in done}
        missing = tuple(name for name in group.backends if (group.network, group.link, name) not in held)
        if missing:
            report(f"{index + 1} of {len(groups)}: {group.network} over {group.link}")
            missing = tuple(name for name in missing if _runs(artifacts[group.network], name, report))
        if missing:
            results = run_all({path: artifacts[group.network]}, missing, (group.link,), repeat, 1)
            done += [_sample(group.network, result) for result in results]
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(_SAMPLES.dump_json(done))
    wanted = {(group.network, group.link, name) for group in groups for name in group.backends}
    return [s for s in done if (s.network, s.link, s.backend) in wanted], artifacts


def _runs(artifact: Artifact, backend: str, report: Callable[[str], None]) -> bool:
    """Whether a backend offers this network's ring and comparison bits; if not, ``report`` is told why."""
    try:
        return Workload(artifact, backend).offline.nbytes > 0
    except ConfigError as error:
        report(f"without {backend}: {error}")
        return False


def _sample(network: str, result: LatencyResult) -> Sample:
    return Sample(
        network=network,
        backend=result.backend,
        link=result.link,
        online_ms=result.online_ms.samples,
        online_rounds=result.online_rounds,
        client_to_server_bytes=result.online_bytes.client_to_server,
        server_to_client_bytes=result.online_bytes.server_to_client,
        offline_ms=result.offline_ms_samples,
        offline_bytes=result.offline_bytes,
        stored_bytes_server=result.storage_bytes.server,
        stored_bytes_client=result.storage_bytes.client,
    )
