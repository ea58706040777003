"""All processes behind the demo's page, in one temporary folder; each is started when it is first needed."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pi_system.api.server import make_keys
from pi_system.demo.children import Child, ClientProcess, TappedServer
from pi_system.demo.files import SERVER_FILE
from pi_system.demo.variants import NETWORKS, Relus
from pi_system.errors import LocalProtocolError
from pi_system.networks import artifact_folder

BACKENDS: Final = ("gmw", "gc", "table", "fss")
LINKS: Final[dict[str, tuple[float, float] | None]] = {
    "loopback": None,
    "lan": (1e9, 0.3e-3),
    "wan": (100e6, 40e-3),
}
"""Bits a second in each direction, and seconds of a round trip; None: as this machine is."""


class Parties:
    """Server, client, dealer and relays. Methods are called by one thread at a time, ``stop`` by any."""

    def __init__(self, folder: Path):
        """``folder``: temporary, of mode 0700. Nothing runs yet."""
        self._folder = folder
        self._servers: dict[str, TappedServer] = {}
        self._addresses: dict[str, str] = {}
        self._client: ClientProcess | None = None
        self._stores = 0
        self._running: list[Child | TappedServer] = []
        self._lock, self._stopped = threading.Lock(), False

    def start(self) -> None:
        """Keys, the client, and the server of the built-in network. Raises PiError."""
        make_keys(self.keys)
        self.client()
        self.server("full")

    def server(self, relus: Relus) -> str:
        """HOST:PORT of a server of that network (``variants.py``). Raises PiError: it does not start."""
        if relus not in self._servers:
            server = TappedServer(
                str(artifact_folder(NETWORKS[relus])),
                self.shares_file(relus),
                keys=self.keys / "server",
                reveal="logits",
                backends=BACKENDS,
                dealer=self.dealer(),
                store=self._folder / f"server-{relus}",
                max_sessions=2,
                drain_s=1.0,
                arguments="--no-line",  # it would not go through the relays
            )
            self._keep(server)
            server.start()
            self._servers[relus] = server
        return self._servers[relus].address

    def shares_file(self, relus: Relus) -> Path:
        """Where the server of a network leaves its shares."""
        return self._folder / f"{relus}-{SERVER_FILE}"

    def dealer(self) -> str:
        """HOST:PORT of the dealer."""
        keys = str(self.keys / "dealer")
        return self._listening("dealer", "pi_system.demo.dealer", "serve", "--listen", "127.0.0.1:0", "--keys", keys)

    def client(self) -> ClientProcess:
        """The client process, a new one where the last one is gone."""
        if self._client is None or not self._client.alive:
            self._client = ClientProcess(self._folder / "client.log")
            self._keep(self._client)
        return self._client

    def behind(self, link: str, address: str) -> str:
        """Where the client dials to reach ``address`` over a link."""
        shape = LINKS[link]
        if shape is None:
            return address
        return self._listening(f"relay-{link}-{address}", "pi_system.demo.relay", address, *map(str, shape))

    @property
    def keys(self) -> Path:
        """A folder a role."""
        return self._folder / "keys"

    @property
    def store(self) -> Path:
        """The client's folder of material."""
        return self._folder / f"client-{self._stores}"

    def forget(self) -> None:
        """Take a new folder: of what a failed inference left, the shares are not known."""
        shutil.rmtree(self.store, ignore_errors=True)
        self._stores += 1

    def stop(self) -> None:
        """End all; safe to call twice, and while something is being started."""
        with self._lock:
            self._stopped = True
            running, self._running = self._running, []
        with ThreadPoolExecutor(max(1, len(running))) as stopping:  # side by side: each takes its time
            for _ in stopping.map(lambda one: one.stop(), running):
                pass

    def _listening(self, name: str, module: str, *arguments: str) -> str:
        if name not in self._addresses:
            log = self._folder / f"{name.replace(':', '-')}.log"
            child = Child(module, *arguments, log=log)
            self._keep(child)
            self._addresses[name] = child.address()
        return self._addresses[name]

    def _keep(self, one: Child | TappedServer) -> None:
        """It ends with the demo, even if that ends now. Raises LocalProtocolError: it has ended."""
        with self._lock:
            if not self._stopped:
                self._running.append(one)
                return
        one.stop()
        raise LocalProtocolError("demo: stopped")
