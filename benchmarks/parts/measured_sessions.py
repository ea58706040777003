"""One server of one backend and one or more measured clients, ready when the block starts, gone when it ends."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.model import Artifact
from pi_system.errors import ArtifactDigestError
from pi_system.measure import ClientTask, MeasuredClient, RunningProgram, party_cores, start_server
from pi_system.measure.memory import folder_bytes, peak_of_descendants_bytes
from pi_system.measure.schema import PartyBytes

__all__ = ["Sessions", "sessions"]

_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Open sessions of one backend with one server."""

    backend: str
    server: RunningProgram
    clients: tuple[MeasuredClient, ...]

    def stored(self) -> PartyBytes:
        """Size of the server's store and of all clients' stores."""
        return PartyBytes(
            server=folder_bytes(self.server.store), client=sum(folder_bytes(client.store) for client in self.clients)
        )

    def peak(self) -> PartyBytes:
        """Peak resident sets so far: the largest of the server's session processes, the largest of the clients."""
        return PartyBytes(
            server=peak_of_descendants_bytes(self.server.pid),
            client=max(client.peak_memory_bytes for client in self.clients),
        )


@contextmanager
def sessions(
    artifact: Artifact,
    path: Path,
    pictures: NDArray[np.float32],
    *,
    backend: str,
    dealer: str,
    folder: Path,
    link: str = "loopback",
    clients: int = 1,
) -> Iterator[Sessions]:
    """Start server and clients, each party pinned to its core, and open the sessions.

    Args:
        artifact: the network.
        path: its folder.
        pictures: float32 (N, C, H, W), preprocessed, of every client.
        backend: name in the registry.
        dealer: HOST:PORT.
        folder: private; made if needed.
        link: name or RATE_MBIT,RTT_MS.
        clients: each a process and a session.

    Raises:
        ArtifactDigestError: a client sees another model.
        PeerUnavailableError: a process failed; the message has the end of its log.
    """
    cores, folder = party_cores(), folder / backend
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "pictures.npy", pictures)
    with ExitStack() as stack:
        server = stack.enter_context(
            start_server(
                path,
                dealer,
                folder,
                backends=(backend,),
                max_sessions=clients,
                timeout_s=_TIMEOUT_S,
                core=cores["server"],
                threads=1,
            )
        )

        def start(index: int) -> MeasuredClient:
            task = ClientTask(
                server=server.address,
                dealer=dealer,
                backend=backend,
                link=link,
                store=folder / f"client-{index}",
                pictures=folder / "pictures.npy",
                timeout_s=_TIMEOUT_S,
            )
            log = folder / f"client-{index}.log"
            client = MeasuredClient(task, log=log, core=cores["client"], threads=1)
            stack.callback(client.close)
            if client.digest != artifact.public.digest:
                raise ArtifactDigestError("artifact: expected the client to see the server's, found another")
            return client

        with ThreadPoolExecutor(clients) as pool:
            started = tuple(pool.map(start, range(clients)))
        yield Sessions(backend=backend, server=server, clients=started)
