"""The sections of both parties' bundles, for backends whose correlations come from a dealer."""

from collections.abc import Iterator

from pi_system.protocols.relu_dcf import DcfRelu
from pi_system.ring.carrier import Ring
from pi_system.ring.prg import SEED_BYTES
from pi_system.secure.layout import Layout
from pi_system.secure.schedule import Gate, Output, Remask, Schedule, Truncation

__all__ = ["client_layout", "server_layout"]


def server_layout(schedule: Schedule, relu: DcfRelu, ring: Ring) -> Layout:
    """Seed, salt, then a gate's key, corrections, masked client share (a square's delta), a pair, or a difference."""
    return Layout.of([("seed", SEED_BYTES), ("salt", SEED_BYTES), *_server_sections(schedule, relu, ring)])


def client_layout(schedule: Schedule, relu: DcfRelu, ring: Ring) -> Layout:
    """Seed, public salt, every gate's key (of a square its offset), and the client's share of what is opened."""
    return Layout.of([("seed", SEED_BYTES), ("salt", SEED_BYTES), *_client_sections(schedule, relu, ring)])


def _server_sections(schedule: Schedule, relu: DcfRelu, ring: Ring) -> Iterator[tuple[str, int]]:
    for step in schedule.steps:
        if isinstance(step, Gate) and step.spec.kind == "square":
            yield f"{step.name}/delta", step.spec.count * ring.itemsize
        elif isinstance(step, Gate):
            yield f"{step.name}/key", relu.key_bytes(step.spec)
            yield f"{step.name}/corrections", relu.correction_bytes(step.spec)
            yield f"{step.name}/masked", relu.masked_bytes(step.spec)
        elif isinstance(step, Truncation):
            yield from step.sections(ring)
        elif isinstance(step, Remask):
            yield f"{step.name}/difference", step.count * ring.itemsize


def _client_sections(schedule: Schedule, relu: DcfRelu, ring: Ring) -> Iterator[tuple[str, int]]:
    for step in schedule.steps:
        if isinstance(step, Gate) and step.spec.kind == "square":
            yield f"{step.name}/offset", step.spec.count * ring.itemsize
        elif isinstance(step, Gate):
            yield f"{step.name}/key", relu.key_bytes(step.spec)
        elif isinstance(step, Output):
            yield "output", step.count * ring.itemsize
