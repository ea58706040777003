"""Networks, servers and measured clients, ready to be called; what every call cost is kept, in order."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from measuring.client_process import ClientTask, Message
from measuring.line_process import LineProcess
from measuring.memory import folder_bytes
from measuring.networks import SEED, counts
from measuring.processes import HERE, TIMEOUT_S, Place, RunningProgram, peak_of_descendants_bytes, start_server
from measuring.reference import NO_ERROR, LogitError, Reference
from measuring.schema import NetworkCounts, PartyBytes, Revealed
from numpy.typing import NDArray

from pi_system.artifact.store import load
from pi_system.errors import ArtifactDigestError
from pi_system.export.random import random_pictures
from pi_system.rpc.client_session import OfflineCost, OnlineCost

NO_DEALER: Final = "127.0.0.1:1"
"""For backends that have none."""
_GOODBYE_S: Final = 5.0


class Inference(NamedTuple):
    """One online phase: its cost seen from the client, and what the server revealed, (N, classes)."""

    cost: OnlineCost
    logits: NDArray[np.float64]


class MeasuredClient(LineProcess):
    """A client's session in a process of its own; see client_process.py."""

    def __init__(self, task: ClientTask, *, log: Path, place: Place = HERE):
        """Start it and wait until the session is open. Raises PeerUnavailableError with the client's error."""
        self.store = task.store
        self.peak_memory_bytes = 0
        command = [*place.prefixes[1], sys.executable, "-u", "-m", "measuring.client_process", task.model_dump_json()]
        threads = place.threads or len(os.sched_getaffinity(0))
        super().__init__(
            "measured client", command, log=log, core=place.cores[1], threads=threads, goodbye_s=_GOODBYE_S
        )
        try:
            self.digest = str(self.answer(None)["digest"])
        except BaseException:
            self.close()
            raise

    def prepare(self, count: int) -> OfflineCost:
        """Offline phase for ``count`` inferences. Raises PeerUnavailableError."""
        return OfflineCost(**self._measured({"prepare": count}))

    def infer(self, first: int, count: int) -> Inference:
        """Online phase for the pictures [first, first + count). Raises PeerUnavailableError."""
        answer = self._measured({"infer": first, "count": count})
        return Inference(OnlineCost(**answer["online"]), np.array(answer["logits"], dtype=np.float64))

    def _measured(self, command: Message) -> Message:
        """The answer, however long it takes: the session's own time limits end a silent peer."""
        answer = self.ask(command, None)
        self.peak_memory_bytes = max(self.peak_memory_bytes, int(answer.pop("peak_memory_bytes")))
        return answer


class Network:
    """A network to be measured, the pictures of its calls and what is expected of them."""

    def __init__(self, path: Path, count: int, folder: Path, times: int = 1):
        """Load the artifact in ``path`` and put ``count`` random pictures, each so many times, into ``folder``."""
        self.path, self.artifact = path.absolute(), load(path)
        preprocess = self.artifact.public.preprocess
        drawn = random_pictures((preprocess.channels, preprocess.height, preprocess.width), count, SEED)
        self.pictures = np.repeat(drawn, times, axis=0)
        self.file = folder / f"{path.name}.npy"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(self.file, self.pictures)

    @property
    def name(self) -> str:
        """As the artifact has it."""
        return self.artifact.public.name

    @cached_property
    def reference(self) -> Reference:
        """The plaintext of all pictures."""
        return Reference(self.artifact, self.pictures)

    @cached_property
    def counts(self) -> NetworkCounts:
        """Of the exported graph."""
        return counts(self.artifact)

    def error(self, system: str, index: int, logits: NDArray[np.float64]) -> float:
        """How far the flat logits of picture ``index`` are from plaintext, whatever ``system`` made them."""
        return self.reference.error(index, logits.reshape(1, -1)).absolute


@dataclass(slots=True, kw_only=True)
class Session:
    """A client's session with a server and what was measured of it, in order; every call's output is checked."""

    network: Network
    backend: str
    place: Place
    reveal: Revealed
    server: RunningProgram
    client: MeasuredClient
    offline: list[OfflineCost] = field(default_factory=list)
    online: list[OnlineCost] = field(default_factory=list)
    stored: list[PartyBytes] = field(default_factory=list)
    worst: LogitError = NO_ERROR

    def call(self, first: int, count: int = 1) -> Inference:
        """Prepare and infer the pictures [first, first + count)."""
        self.prepare(count)
        return self.infer(first, count)

    def prepare(self, count: int) -> OfflineCost:
        """Offline phase; what it left on both disks is kept, too."""
        before = self._stored()
        self.offline.append(self.client.prepare(count))
        after = self._stored()
        self.stored.append(PartyBytes(server=after.server - before.server, client=after.client - before.client))
        return self.offline[-1]

    def infer(self, first: int, count: int = 1) -> Inference:
        """Online phase."""
        inference = self.client.infer(first, count)
        self.online.append(inference.cost)
        reference = self.network.reference
        compare = reference.label_error if self.reveal == "label" else reference.error
        error = compare(first, inference.logits)
        self.worst = self.worst.worse(error)
        return inference

    def peak(self) -> PartyBytes:
        """Peak memory so far of the server's session processes (the largest) and of the client."""
        return PartyBytes(server=peak_of_descendants_bytes(self.server.pid), client=self.client.peak_memory_bytes)

    def _stored(self) -> PartyBytes:
        return PartyBytes(server=folder_bytes(self.server.store), client=folder_bytes(self.client.store))


def open_client(
    stack: ExitStack,
    network: Network,
    backend: str,
    server: RunningProgram,
    dealer: str,
    *,
    place: Place = HERE,
    name: str = "client",
    client_id: str = "",
    store: str = "",
) -> MeasuredClient:
    """A client of ``server``, until the end of ``stack``; its log is NAME.log, its store of that name or ``store``.

    Raises:
        ArtifactDigestError: it sees another model.
        PeerUnavailableError: a process failed; the message has the end of its log.
    """
    task = ClientTask(
        server=server.address,
        dealer=dealer,
        backend=backend,
        link=place.link,
        store=server.store.parent / (store or name),
        pictures=network.file,
        timeout_s=TIMEOUT_S,
        keys=place.keys,
        client_id=client_id,
    )
    client = stack.enter_context(MeasuredClient(task, log=server.store.parent / f"{name}.log", place=place))
    if client.digest != network.artifact.public.digest:
        raise ArtifactDigestError("artifact: expected the client to see the server's, found another")
    return client


def open_session(
    stack: ExitStack,
    network: Network,
    backend: str,
    server: RunningProgram,
    dealer: str,
    *,
    place: Place = HERE,
    reveal: Revealed = "logits",
    name: str = "client",
) -> Session:
    """A session with ``server``, until the end of ``stack``; arguments and errors as ``open_client``."""
    client = open_client(stack, network, backend, server, dealer, place=place, name=name)
    return Session(network=network, backend=backend, place=place, reveal=reveal, server=server, client=client)


@contextmanager
def session(
    network: Network,
    backend: str,
    dealer: str,
    folder: Path,
    *,
    place: Place = HERE,
    reveal: Revealed = "logits",
) -> Iterator[Session]:
    """A server of one backend and its only client; ``folder`` is theirs. Errors as ``open_client``."""
    with ExitStack() as stack:
        server = stack.enter_context(
            start_server(network.path, dealer, folder, backends=(backend,), reveal=reveal, place=place)
        )
        yield open_session(stack, network, backend, server, dealer, place=place, reveal=reveal)
