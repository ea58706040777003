"""Networks, servers and measured clients, ready to be called; what every call cost is kept, in order."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from measuring.client_process import ClientTask, Message
from measuring.documents import say
from measuring.line_process import LineProcess
from measuring.memory import folder_bytes
from measuring.networks import SEED, counts
from measuring.processes import HERE, Reach, Site, peak_of_descendants_bytes
from measuring.programs import TIMEOUT_S, RunningProgram, start_dealer, start_server
from measuring.reference import NO_ERROR, Reference
from measuring.schema import NetworkCounts, PartyBytes, Revealed
from numpy.typing import NDArray

from pi_system.artifact.store import load
from pi_system.errors import ArtifactDigestError
from pi_system.export.random import random_pictures
from pi_system.rpc.phase_cost import OnlineCost, PreparationCost

Combination = tuple[str, Site, Revealed]
"""A backend, where it runs and what it reveals."""
WARMUP: Final = 1
"""Calls of each session that are not counted; the first offline phase includes what is sent once a model."""
_GOODBYE_S: Final = 5.0
_AT_ONCE: Final = 4
"""Processes that start at the same time: more would only wait for the cores."""


class Inference(NamedTuple):
    """One online phase: its cost seen from the client, and what the server revealed, (N, classes)."""

    cost: OnlineCost
    logits: NDArray[np.float64]


class Network:
    """A network to be measured, the pictures of its calls and what is expected of them."""

    def __init__(
        self, path: Path, count: int, folder: Path, times: int = 1, *, pictures: NDArray[np.float32] | None = None
    ):
        """Load the artifact in ``path`` and put ``count`` random pictures, each so many times, into ``folder``.

        ``pictures``: these instead, preprocessed.
        """
        self.path, self.artifact = path.absolute(), load(path)
        preprocess = self.artifact.public.preprocess
        shape = (preprocess.channels, preprocess.height, preprocess.width)
        drawn = random_pictures(shape, count, SEED) if pictures is None else pictures
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


class Session(LineProcess):
    """A client's session with a server, in a process of its own (client_process.py), and what was measured of it.

    ``offline``, ``online`` and ``stored`` (what a preparation left on both disks) are in order of the calls;
    ``open_ms`` is from dialling until the client has the model's public part.
    """

    def __init__(
        self,
        network: Network,
        backend: str,
        server: RunningProgram,
        dealer: str,
        *,
        site: Site = HERE,
        reveal: Revealed = "logits",
        name: str = "client",
        client_id: str = "",
    ):
        """Start it and wait until the session is open; its log and store are beside the server's.

        Raises:
            ArtifactDigestError: it sees another model.
            PeerUnavailableError: a process failed; the message has the end of its log.
        """
        self.network, self.backend, self.server, self.site, self.reveal = network, backend, server, site, reveal
        self.offline, self.online, self.stored = list[PreparationCost](), list[OnlineCost](), list[PartyBytes]()
        self.worst, self.peak_memory_bytes = NO_ERROR, 0
        self.store = server.store.parent / (f"client-{client_id}" if client_id else name)
        task = ClientTask(
            server=server.address,
            dealer=dealer,
            backend=backend,
            link=site.link,
            store=self.store,
            pictures=network.file,
            timeout_s=TIMEOUT_S,
            keys=site.keys,
            client_id=client_id,
            line=site.line,
            threads=site.each,
        )
        command = [*site.prefixes[1], sys.executable, "-u", "-m", "measuring.client_process", task.model_dump_json()]
        threads, log = site.threads or len(os.sched_getaffinity(0)), server.store.parent / f"{name}.log"
        super().__init__(name, command, log=log, core=site.cores[1], threads=threads, goodbye_s=_GOODBYE_S)
        try:
            greeting = self.answer(None)
            self.open_ms = float(greeting["open_ms"])
            if greeting["digest"] != network.artifact.public.digest:
                raise ArtifactDigestError("artifact: expected the client to see the server's, found another")
        except BaseException:
            self.close()
            raise

    @property
    def online_ms(self) -> list[float]:
        """Of every call that counts, in order."""
        return [cost.online_ms for cost in self.online[WARMUP:]]

    @property
    def first_ms(self) -> float:
        """Of a new client at a new server, nothing prepared, from dialling to the first result."""
        return self.open_ms + self.offline[0].offline_ms + self.online[0].online_ms

    @property
    def offline_ms(self) -> list[float]:
        """Likewise."""
        return [cost.offline_ms for cost in self.offline[WARMUP:]]

    def call(self, first: int, count: int = 1) -> Inference:
        """Prepare and infer the pictures [first, first + count)."""
        self.prepare(count)
        return self.infer(first, count)

    def prepare(self, count: int) -> PreparationCost:
        """Offline phase for ``count`` inferences. Raises PeerUnavailableError."""
        before = folder_bytes(self.server.store), folder_bytes(self.store)
        self.offline.append(PreparationCost(**self._measured({"prepare": count})))
        server, client = folder_bytes(self.server.store) - before[0], folder_bytes(self.store) - before[1]
        self.stored.append(PartyBytes(server=server, client=client))
        return self.offline[-1]

    def infer(self, first: int, count: int = 1) -> Inference:
        """Online phase for the pictures [first, first + count), compared with plaintext."""
        answer = self._measured({"infer": first, "count": count})
        inference = Inference(OnlineCost(**answer["online"]), np.array(answer["logits"], dtype=np.float64))
        reference = self.network.reference
        compare = reference.label_error if self.reveal == "label" else reference.error
        self.online.append(inference.cost)
        self.worst = self.worst.worse(compare(first, inference.logits))
        return inference

    def peak(self) -> PartyBytes:
        """Peak memory so far of the server's session processes (the largest) and of the client."""
        return PartyBytes(server=peak_of_descendants_bytes(self.server.pid), client=self.peak_memory_bytes)

    def _measured(self, command: Message) -> Message:
        """The answer, however long it takes: the session's own time limits end a silent peer."""
        answer = self.ask(command, None)
        self.peak_memory_bytes = max(self.peak_memory_bytes, int(answer.pop("peak_memory_bytes")))
        return answer


@contextmanager
def in_turn(
    paths: Sequence[Path], combinations: Sequence[Combination], calls: int, *, batch: int = 1, shared: bool = False
) -> Iterator[list[Session]]:
    """A session of every network with every combination, opened at the same time, ready to take turns.

    Args:
        paths: folders of artifacts.
        combinations: of each; one that comes several times gets several clients if ``shared``.
        calls: that will be made, each with pictures of its own.
        batch: pictures a call.
        shared: combinations of a network at one site have one server, to save memory; else memory and store are their
            own.
    """
    with (
        tempfile.TemporaryDirectory(prefix="pi-measure-") as name,
        ExitStack() as stack,
        ThreadPoolExecutor(_AT_ONCE) as pool,  # ends first: what it starts is the stack's to end
    ):
        folder = Path(name)
        networks = [Network(path, calls * batch, folder) for path in paths]
        cells = [(network, *combination) for network in networks for combination in combinations]
        dealers: dict[tuple[Reach, int | None], str] = {}
        for _, site, _ in combinations:
            if (site.reach, site.each) not in dealers:
                own = start_dealer(folder / f"dealer-{len(dealers)}", site=site)
                dealers[site.reach, site.each] = stack.enter_context(own).address
        backends = tuple(dict.fromkeys(backend for backend, _, _ in combinations))

        def serve(index: int) -> RunningProgram:
            network, backend, site, reveal = cells[index]
            served, limit = (backends, len(combinations)) if shared else ((backend,), 1)
            dealer, own = dealers[site.reach, site.each], folder / str(index)
            options: dict[str, Any] = {"backends": served, "max_sessions": limit, "reveal": reveal, "site": site}
            return stack.enter_context(start_server(network.path, dealer, own, **options))

        def connect(index: int) -> Session:
            (network, backend, site, reveal), server = cells[index], servers[home(index)]
            dealer = dealers[site.reach, site.each]
            opened = Session(network, backend, server, dealer, site=site, reveal=reveal, name=f"client-{index}")
            return stack.enter_context(opened)

        def home(index: int) -> int:
            """The cell whose server this one uses; a server imitates one link."""
            network, _, site, _ = cells[index]
            same = (other for other, cell in enumerate(cells) if cell[0] is network and cell[2] == site)
            return next(same) if shared else index

        firsts = sorted({home(index) for index in range(len(cells))})
        servers = dict(zip(firsts, pool.map(serve, firsts), strict=True))
        sessions = list(pool.map(connect, range(len(cells))))
        yield sessions
        list(pool.map(Session.close, sessions))


def call_in_turn(path: Path, combinations: Sequence[Combination], repeat: int) -> list[Session]:
    """A session of each, closed, after ``repeat`` counted calls, in turn within each repetition.

    What slows the machine down for a while slows all of them, and who goes first takes turns, too.
    """
    with in_turn([path], combinations, WARMUP + repeat) as running:
        for index in range(WARMUP + repeat):
            for one in running if index % 2 else reversed(running):
                cost = one.call(index).cost
                offline_ms = one.offline[-1].offline_ms
                say(f"{one.backend} {one.site.name}: offline {offline_ms:.0f} ms, online {cost.online_ms:.1f} ms")
        return running
