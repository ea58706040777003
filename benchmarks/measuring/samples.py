"""Measured samples for the cost model: real runs of random-weight networks, group by group, resumable.

A group is one network over one link with all its backends, taken in turn (latency.py). What is done is kept in a part
file beside the result, so that a stopped run goes on where it was.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

from measuring.documents import say
from measuring.latency import run_all
from measuring.networks import cached_artifact
from measuring.schema import LatencyResult, Strict
from pydantic import Field, TypeAdapter

from pi_system.artifact.model import Artifact
from pi_system.artifact.store import load
from pi_system.cost.predict import Prediction, Workload
from pi_system.errors import ConfigError, InvariantError


class CostSample(Strict):
    """One network, backend and link, measured; batch 1; times one a repetition, bytes payload or on disk.

    ``offline_bytes`` are those of the last preparation, ``setup_bytes`` what the session's first had beside.
    """

    network: str
    backend: str
    link: str
    online_ms: tuple[float, ...] = Field(min_length=1)
    online_rounds: int
    client_to_server_bytes: int
    server_to_client_bytes: int
    offline_ms: tuple[float, ...] = Field(min_length=1)
    offline_bytes: int
    setup_bytes: int
    stored_bytes_server: int
    stored_bytes_client: int

    @property
    def of(self) -> tuple[str, str, str]:
        """Network, link and backend."""
        return self.network, self.link, self.backend

    def counts(self) -> dict[str, int]:
        """What must be equal, predicted and counted; offline bytes are those of a session's first preparation."""
        return {name: getattr(self, name) for name in EXACT} | {"first": self.offline_bytes + self.setup_bytes}


def predicted_counts(found: Prediction) -> dict[str, int]:
    """The same of a prediction."""
    return {name: getattr(found, name) for name in EXACT} | {"first": found.offline_bytes + found.setup_bytes}


class Group(NamedTuple):
    """One network (networks.py) over one link, name or RATE_MBIT,RTT_MS; its backends are taken in turn."""

    network: str
    link: str
    backends: tuple[str, ...]


_SAMPLES = TypeAdapter(list[CostSample])


EXACT: Final = (
    "online_rounds",
    "client_to_server_bytes",
    "server_to_client_bytes",
    "stored_bytes_server",
    "stored_bytes_client",
)
"""What is equal by name, predicted and counted."""


def measure_groups(
    groups: Sequence[Group], repeat: int, visits: int, cache: Path, part: Path
) -> tuple[list[CostSample], dict[str, Artifact]]:
    """Samples in order, and the networks by name, of every group; what ``part`` holds is not measured again.

    All groups are gone through ``visits`` times, ``repeat`` repetitions each: where other machines' work makes this one
    slow for minutes, that would be one group's otherwise. ``part`` is a file of what is done; the caller deletes it
    when the result is written. Raises PeerUnavailableError.
    """
    done = _SAMPLES.validate_json(part.read_text()) if part.exists() else []
    paths = {group.network: cached_artifact(group.network, cache).absolute() for group in groups}
    artifacts = {name: load(path) for name, path in paths.items()}
    for visit, (index, group) in product(range(visits), enumerate(groups)):
        held = Counter(sample.of for sample in done)
        missing = [name for name in group.backends if held[group.network, group.link, name] <= visit]
        if missing:
            say(f"{index + 1} of {len(groups)}, visit {visit + 1} of {visits}: {group.network} over {group.link}")
            missing = [name for name in missing if _runs(artifacts[group.network], name)]
        if missing:
            found = run_all([paths[group.network]], missing, (group.link,), repeat, 1)
            done += [_sample(group.network, result) for result in found]
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(_SAMPLES.dump_json(done))
    wanted = [(group.network, group.link, name) for group in groups for name in group.backends]
    visited = [[sample for sample in done if sample.of == one][:visits] for one in dict.fromkeys(wanted)]
    return [merged(samples) for samples in visited if samples], artifacts


def merged(visits: Sequence[CostSample]) -> CostSample:
    """One sample of the repetitions of all. Raises InvariantError: what is counted is not the same in all."""
    first = visits[0]
    for other in visits[1:]:
        if other.counts() != first.counts():
            raise InvariantError(f"{first.of}: expected the counts {first.counts()} again, found {other.counts()}")
    online, offline = (
        [ms for sample in visits for ms in getattr(sample, name)] for name in ("online_ms", "offline_ms")
    )
    return first.model_copy(update={"online_ms": tuple(online), "offline_ms": tuple(offline)})


def _runs(artifact: Artifact, backend: str) -> bool:
    """Whether a backend offers this network's ring and comparison bits; if not, stderr is told why."""
    try:
        return Workload(artifact, backend).offline.nbytes > 0
    except ConfigError as error:
        say(f"without {backend}: {error}")
        return False


def _sample(network: str, result: LatencyResult) -> CostSample:
    return CostSample(
        network=network,
        backend=result.backend,
        link=result.link,
        online_ms=result.online_ms.samples,
        online_rounds=result.online_rounds,
        client_to_server_bytes=result.online_bytes.client_to_server,
        server_to_client_bytes=result.online_bytes.server_to_client,
        offline_ms=result.offline_ms_samples,
        offline_bytes=result.offline_bytes,
        setup_bytes=result.setup_bytes,
        stored_bytes_server=result.storage_bytes.server,
        stored_bytes_client=result.storage_bytes.client,
    )
