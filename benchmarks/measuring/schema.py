"""The JSON object of benchmarks/latency.py, schema 1: what is written is validated, what is read can be trusted.

Plots and tables read nothing but this. A later field is added with a default, never by another schema.
"""

import statistics
from pathlib import Path
from typing import Final, Literal, Self

from measuring.environment import Environment
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pi_system.errors import InputError

Revealed = Literal["logits", "label"]
"""What a measured server reveals."""


class Strict(BaseModel):
    """What all models of results have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    def write(self, path: Path) -> None:
        """Write the JSON text, making the folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(by_alias=True, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what ``write`` wrote. Raises InputError: the file is missing or something else."""
        try:
            return cls.model_validate_json(path.read_text())
        except (OSError, ValidationError) as error:
            raise InputError(f"{path}: expected the JSON of a {cls.__name__}; {error}") from error


class Timing(Strict):
    """Samples in the order they were taken, in ms, with median and quartiles (inclusive method)."""

    median: float
    q1: float
    q3: float
    samples: tuple[float, ...] = Field(min_length=1)

    @classmethod
    def of(cls, samples: list[float]) -> "Timing":
        """Summarise at least one sample."""
        twice = samples * 2 if len(samples) == 1 else samples
        q1, median, q3 = statistics.quantiles(twice, n=4, method="inclusive")
        return cls(median=median, q1=q1, q3=q3, samples=tuple(samples))


class OnlineBytes(Strict):
    """Payload of one online phase by direction."""

    client_to_server: int
    server_to_client: int

    @property
    def total(self) -> int:
        """Of both directions."""
        return self.client_to_server + self.server_to_client


class PartyBytes(Strict):
    """A number of bytes for each party."""

    server: int
    client: int


class NetworkCounts(Strict):
    """Counts of one network, for one picture, from its exported graph."""

    network: str
    relus: int
    relu_layers: int
    macs: int
    parameters: int
    squares: int = 0
    square_layers: int = 0


class LatencyResult(Strict):
    """One combination of network, backend and link; what is not said is plain or in Network, Timing.

    ``online_ms``: of one call, at the client, from the first online byte to the decoded result, all material ready;
    ``online_rounds`` times it waited for an answer, ``frame_bytes`` of framing on top of ``online_bytes`` of payload.
    ``first_ms``: the warm-up's call, from dialling on: a new client at a new server with nothing prepared, what is sent
    once a model included; None in files that are older. ``offline_ms``: for one inference, dealer, storing and fsync
    included, the warm-up's left out; ``setup_bytes``: payload once a model, what the first preparation sent beyond
    later ones; ``storage_bytes``: what one prepared inference takes on each party's disk (0: kept in memory). Peak
    memory is that of the server's session process and of the client's process. ``plaintext_ms`` is torch float32 on the
    client's core with one thread, for the same pictures.
    Errors are the largest over all calls: to the float interpreter (of labels: how far below the best), to the
    fixed-point interpreter in its last place, and whether all were within what program/error_bound.py states; None for
    backends with another encoding. ``floor_ms``: see reference.py.
    """

    network: str
    backend: str
    link: str
    batch: int
    reveal: Revealed = "logits"
    online_ms: Timing
    online_rounds: int
    online_bytes: OnlineBytes
    frame_bytes: int
    us_per_relu: float | None
    bytes_per_relu: float | None
    first_ms: float | None = None
    offline_ms: float
    offline_ms_samples: tuple[float, ...]
    offline_bytes: int
    setup_bytes: int
    storage_bytes: PartyBytes
    stored_bytes_per_relu: float | None
    peak_memory_bytes: PartyBytes
    plaintext_ms: float
    plaintext_conv_ms: float
    max_abs_error: float
    max_ulp_error: int | None
    within_ulp_bound: bool | None
    floor_ms: float
    floor_distance: float


class Ratio(Strict):
    """One backend's median online time beside the baseline's, ``times_faster`` its inverse, of the same run."""

    network: str
    link: str
    backend: str
    reveal: Revealed = "logits"
    relative_to: str
    online_ratio: float
    times_faster: float


class LatencyReport(Strict):
    """One run of benchmarks/latency.py.

    The counts at the top are those of the first network; ``networks`` has all of them, in order.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    network: str
    relus: int
    relu_layers: int
    macs: int
    networks: tuple[NetworkCounts, ...] = Field(min_length=1)
    repeat: int
    warmup: int
    results: tuple[LatencyResult, ...]
    ratios: tuple[Ratio, ...]
    environment: Environment

    @classmethod
    def of(
        cls,
        networks: tuple[NetworkCounts, ...],
        results: tuple[LatencyResult, ...],
        *,
        repeat: int,
        warmup: int,
        environment: Environment,
    ) -> Self:
        """With what follows from these: the counts at the top, and the ratios."""
        return cls(
            **networks[0].model_dump(include={"network", "relus", "relu_layers", "macs"}),
            networks=networks,
            repeat=repeat,
            warmup=warmup,
            results=results,
            ratios=latency_ratios(results),
            environment=environment,
        )


BASELINE: Final = "crypten"


def latency_ratios(results: tuple[LatencyResult, ...]) -> tuple[Ratio, ...]:
    """Every backend's median online time beside the baseline's, for each network, link and result that has one."""
    base = {(r.network, r.link, r.reveal): r.online_ms.median for r in results if r.backend == BASELINE}
    return tuple(
        Ratio(
            **result.model_dump(include={"network", "link", "backend", "reveal"}),
            relative_to=BASELINE,
            online_ratio=result.online_ms.median / reference,
            times_faster=reference / result.online_ms.median,
        )
        for result in results
        if (reference := base.get((result.network, result.link, result.reveal))) is not None
    )
