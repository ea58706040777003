"""A few networks with several backends over several links, all of them in turn within every repetition.

Every network has a server that allows every backend; every pair of backend and link has a session with a client
process and a worker process of its own, pinned to its party's core, one thread each, as in latency.py. Here sessions
open and get their offline material at the same time (nothing of that is measured), then all of them have their turn
within each repetition: what slows the machine for a while slows all of them, over every link.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from measuring.documents import default_cache, say
from measuring.networks import cached_artifact
from measuring.processes import Place
from measuring.question import Sample
from measuring.sessions import WARMUP, Combination, Session, in_turn

from pi_system.backends.registry import find_backend
from pi_system.channel.shaped import parse_link

BACKENDS: Final = ("fss", "gmw", "gc", "crypten")
Pair = tuple[str, str]
"""A backend and a link."""


def measure_side_by_side(
    networks: Sequence[str], pairs: Sequence[Pair], repeat: int, cache: Path, progress: Callable[[str], None] = say
) -> list[Sample]:
    """Measure every network (networks.py) with every pair; ``repeat`` calls are counted after one that is not.

    Raises ConfigError for an unknown name, PeerUnavailableError with the end of a failed process's log.
    """
    for backend, link in pairs:
        find_backend(backend)
        parse_link(link)
    calls, paths = WARMUP + repeat, [cached_artifact(name, cache) for name in networks]
    combinations: list[Combination] = [(backend, Place(name=link, link=link), "logits") for backend, link in pairs]
    progress(f"{', '.join(networks)}: opening {len(pairs) * len(networks)} sessions")
    with in_turn(paths, combinations, calls, shared=True) as sessions:
        with ThreadPoolExecutor(len(pairs)) as pool:
            list(pool.map(lambda session: session.prepare(calls), sessions))
        for index in range(calls):
            for one in sessions:
                online_ms = one.infer(index).cost.online_ms
                progress(f"{one.network.name} {one.backend} {one.place.link}: {online_ms:.1f} ms")
        return [_sample(one, calls) for one in sessions]


def _sample(session: Session, calls: int) -> Sample:
    """``sent_bytes`` and ``received_bytes`` are the client's, ``offline_bytes`` have a share of what is sent once."""
    last = session.online[-1]
    return {
        **session.network.counts.model_dump(include={"network", "relus", "relu_layers", "macs"}),
        "backend": session.backend,
        "link": session.place.link,
        "online_ms": session.online_ms,
        "rounds": last.rounds,
        "sent_bytes": last.client_to_server_bytes,
        "received_bytes": last.server_to_client_bytes,
        "offline_bytes": session.offline[0].offline_bytes // calls,
        "max_abs_error": session.worst.absolute,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Networks by label, which stands in samples and answers, measured over the same links, one after the other.

    They take turns with all their processes open, as backends do: about 0.3 GB for each network and backend.
    """

    networks: Mapping[str, str]
    links: tuple[str, ...]
    repeat: int
    backends: tuple[str, ...] = BACKENDS

    def measure(self, repeat: int | None) -> list[Sample]:
        """Every sample, with its ``label``; ``repeat`` goes before the block's own."""
        labels = {name: label for label, name in self.networks.items()}
        found: list[Sample] = []
        for link in self.links:
            pairs = [(backend, link) for backend in self.backends]
            found += measure_side_by_side(list(labels), pairs, repeat or self.repeat, default_cache())
        return [{"label": labels[sample["network"]], **sample} for sample in found]


def measure_blocks(blocks: Iterable[Block], repeat: int | None) -> list[Sample]:
    """Every sample of every block, in order; progress on stderr."""
    return [sample for block in blocks for sample in block.measure(repeat)]


def by_pair(samples: Sequence[Sample]) -> dict[Pair, dict[str, Sample]]:
    """Samples by backend and link, then by label, in the order they were taken."""
    found: dict[Pair, dict[str, Sample]] = {}
    for sample in samples:
        found.setdefault((sample["backend"], sample["link"]), {})[sample["label"]] = sample
    return found


def online_bytes(sample: Sample) -> int:
    """Payload of one inference, both directions."""
    return int(sample["sent_bytes"] + sample["received_bytes"])
