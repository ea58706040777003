"""A few networks with several backends over several links, all of them in turn within every repetition.

Every network has a server that allows every backend; every backend has a session with a client process and a worker
process of its own, pinned to its party's core, one thread each, as in latency.py. Here sessions open and get their
offline material at the same time (nothing of that is measured), then all of them have their turn within each
repetition: what slows the machine for a while slows all of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from measuring.documents import default_cache, say
from measuring.networks import cached_artifact
from measuring.processes import Site
from measuring.question import Mode, Sample
from measuring.sessions import WARMUP, Combination, Session, in_turn

BACKENDS: Final = ("fss", "gmw", "gc", "crypten")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Networks by label, which stands in samples and answers, measured over the same links, one after the other.

    They take turns with all their processes open, as backends do: about 0.3 GB for each network and backend.
    """

    networks: Mapping[str, str]
    links: tuple[str, ...]
    repeat: int
    backends: tuple[str, ...] = BACKENDS

    def measure(self, link: str, repeat: int) -> list[Sample]:
        """Every network with every backend; ``repeat`` calls are counted. Raises PeerUnavailableError."""
        calls, paths = WARMUP + repeat, [cached_artifact(name, default_cache()) for name in self.networks.values()]
        site = Site(name=link, link=link)
        combinations: list[Combination] = [(backend, site, "logits") for backend in self.backends]
        say(f"{', '.join(self.networks)}: opening {len(self.backends) * len(self.networks)} sessions")
        with in_turn(paths, combinations, calls, shared=True) as sessions:
            with ThreadPoolExecutor(len(self.backends)) as pool:
                list(pool.map(lambda session: session.prepare(calls), sessions))
            for index in range(calls):
                for one in sessions:
                    say(f"{one.network.name} {one.backend} {link}: {one.infer(index).cost.online_ms:.1f} ms")
            labels = {name: label for label, name in self.networks.items()}
            return [{"label": labels[one.network.name], **_sample(one, calls)} for one in sessions]


def _sample(session: Session, calls: int) -> Sample:
    """``sent_bytes`` and ``received_bytes`` are the client's, ``offline_bytes`` have a share of what is sent once."""
    last = session.online[-1]
    return {
        **session.network.counts.model_dump(include={"network", "relus", "relu_layers", "macs"}),
        "backend": session.backend,
        "link": session.site.link,
        "online_ms": session.online_ms,
        "rounds": last.rounds,
        "sent_bytes": last.client_to_server_bytes,
        "received_bytes": last.server_to_client_bytes,
        "offline_bytes": session.offline[0].offline_bytes // calls,
        "max_abs_error": session.worst.absolute,
    }


def measure_series(several: Iterable[Series], repeat: int | None) -> list[Sample]:
    """Every sample, in order; ``repeat`` goes before each one's own."""
    return [sample for one in several for link in one.links for sample in one.measure(link, repeat or one.repeat)]


def measuring(modes: Mapping[Mode, Sequence[Series]]) -> Callable[[Mode, int | None], list[Sample]]:
    """How a question's samples are taken that consist of series."""
    return lambda mode, repeat: measure_series(modes[mode], repeat)


def by_pair(samples: Sequence[Sample]) -> dict[tuple[str, str], dict[str, Sample]]:
    """Samples by backend and link, then by label, in the order they were taken."""
    found: dict[tuple[str, str], dict[str, Sample]] = {}
    for sample in samples:
        found.setdefault((sample["backend"], sample["link"]), {})[sample["label"]] = sample
    return found


def by_link(samples: Sequence[Sample]) -> dict[str, dict[str, dict[str, Sample]]]:
    """Samples by link, backend and label."""
    found: dict[str, dict[str, dict[str, Sample]]] = {}
    for (backend, link), networks in by_pair(samples).items():
        found.setdefault(link, {})[backend] = networks
    return found


def online_bytes(sample: Sample) -> int:
    """Payload of one inference, both directions."""
    return int(sample["sent_bytes"] + sample["received_bytes"])
