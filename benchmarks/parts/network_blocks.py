"""What q01, q02, q03 and q06 share: which networks are measured with what, and answers over a table of samples."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import click
from platformdirs import user_cache_path

from pi_system.measure.side_by_side import Sample, measure_side_by_side

__all__ = ["BACKENDS", "Block", "by_pair", "measure_blocks", "online_bytes"]

BACKENDS = ("fss", "gmw", "gc", "crypten")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Networks measured over the same links.

    Attributes:
        networks: by label, as it stands in the samples and the answers. They take turns with all their processes
            open, as backends do: about 0.3 GB for each network and backend.
        links: one after the other.
        repeat: calls counted.
        backends: taken in turn.
    """

    networks: Mapping[str, str]
    links: tuple[str, ...]
    repeat: int
    backends: tuple[str, ...] = BACKENDS

    def measure(self, repeat: int | None, say: Callable[[str], None]) -> list[Sample]:
        """Every sample, with its ``label``; ``repeat`` goes before the block's own."""
        labels = {name: label for label, name in self.networks.items()}
        cache = user_cache_path("pi-system") / "artifacts"
        found: list[Sample] = []
        for link in self.links:
            pairs = [(backend, link) for backend in self.backends]
            found += measure_side_by_side(list(labels), pairs, repeat or self.repeat, cache, say)
        return [{"label": labels[sample["network"]], **sample} for sample in found]


def measure_blocks(question: str, blocks: Iterable[Block], repeat: int | None) -> list[Sample]:
    """Every sample of every block, in order; progress on stderr."""

    def say(line: str) -> None:
        click.echo(f"{question} {line}", err=True)

    return [sample for block in blocks for sample in block.measure(repeat, say)]


def by_pair(samples: Sequence[Sample]) -> dict[tuple[str, str], dict[str, Sample]]:
    """Samples by backend and link, then by label, in the order they were taken."""
    found: dict[tuple[str, str], dict[str, Sample]] = {}
    for sample in samples:
        found.setdefault((sample["backend"], sample["link"]), {})[sample["label"]] = sample
    return found


def online_bytes(sample: Sample) -> int:
    """Payload of one inference, both directions."""
    return int(sample["sent_bytes"] + sample["received_bytes"])
