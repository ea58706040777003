"""What a comparison runs: two pinned processes of one system that do one thing after another and say what it cost.

Lines    processes that answer lines of JSON (spu/party.py, relu_party.py, crypten_shipped.py)
OurPair  pi-server and a client's session, as benchmarks/latency.py runs them

SPU runs in an environment of its own (spu/setup.sh): its program is compiled there, and its parties are Lines.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import safetensors.numpy
from measuring.line_process import LineProcess, answers, party_pair
from measuring.processes import Site, free_port
from measuring.programs import TIMEOUT_S
from measuring.schema import PartyBytes
from measuring.sessions import Network, Session
from numpy.typing import NDArray

from pi_system.errors import ConfigError

SPU: Final = Path(__file__).resolve().parent / "spu"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRun:
    """One run, everything it takes included, seen from the client: wall-clock ms, payload both ways, flat output.

    What a system does not have (phases) or does not tell (directions) is None.
    """

    ms: float
    total_bytes: int
    output: NDArray[np.float64]
    offline_ms: float | None = None
    online_bytes: int | None = None
    client_to_server_bytes: int | None = None
    server_to_client_bytes: int | None = None


class System(Protocol):
    """One system at work."""

    name: str

    def run(self, index: int) -> PeerRun:
        """Do the thing on input ``index``. Raises PeerUnavailableError."""

    def peak(self) -> PartyBytes:
        """Peak memory so far."""


class Lines:
    """Processes that answer {"run": INDEX}, each with its part of the cost; time and output are those of the last.

    Two parties answer with {"seconds":, "traffic":, "output":, "peak_memory_bytes":}, one program that launches both
    with {"seconds":, "total_bytes":, "output":, "peak_memory_bytes": {"server":, "client":}}.
    """

    def __init__(self, name: str, parties: Sequence[LineProcess]):
        """Wait until all of them said that they are ready."""
        self.name, self._parties, self._peak = name, parties, PartyBytes(server=0, client=0)
        answers(parties, TIMEOUT_S)

    def run(self, index: int) -> PeerRun:
        """One run of all."""
        for party in self._parties:
            party.tell({"run": index})
        found = answers(self._parties, TIMEOUT_S)
        first, last, both = found[0]["peak_memory_bytes"], found[-1]["peak_memory_bytes"], len(found) > 1
        self._peak = PartyBytes(server=first, client=last) if both else PartyBytes(**last)
        sent, received = found[-1].get("traffic", (None, None))[:2]
        offline_s = found[-1].get("offline_seconds")
        return PeerRun(
            ms=1000 * found[-1]["seconds"],
            offline_ms=None if offline_s is None else 1000 * offline_s,
            client_to_server_bytes=sent,
            server_to_client_bytes=received,
            total_bytes=sent + received if both else found[-1]["total_bytes"],
            output=np.array(found[-1]["output"], dtype=np.float64),
        )

    def peak(self) -> PartyBytes:
        """Peak resident sets."""
        return self._peak


@contextmanager
def line_pair(name: str, commands: Sequence[Sequence[str]], site: Site, folder: Path) -> Iterator[Lines]:
    """Server and client, which end with the block."""
    with party_pair(name, commands, site, folder) as pair:
        yield Lines(name, pair)


@contextmanager
def crypten_shipped(artifact: Path, pictures: Path, site: Site, folder: Path) -> Iterator[Lines]:
    """CrypTen's own launch of both parties (crypten_shipped.py), without phases; they end with the block."""
    server, client = (str(-1 if core is None else core) for core in site.cores)
    command = [sys.executable, "-u", "-m", "peers.crypten_shipped", "--artifact", str(artifact)]
    command += ["--pictures", str(pictures), "--server-core", server, "--client-core", client]
    with LineProcess("crypten-shipped", command, log=folder / "crypten-shipped.log") as process:
        yield Lines("crypten-shipped", [process])


class OurPair:
    """One of our backends: the offline phase for one picture, on both disks, then its online phase."""

    def __init__(self, session: Session):
        """It is open."""
        self.name, self._session, self.peak = session.backend, session, session.peak

    def run(self, index: int) -> PeerRun:
        """Prepare one inference and use it."""
        inference, offline = self._session.call(index), self._session.offline[-1]
        online_bytes = inference.cost.client_to_server_bytes + inference.cost.server_to_client_bytes
        return PeerRun(
            ms=offline.offline_ms + inference.cost.online_ms,
            offline_ms=offline.offline_ms,
            total_bytes=offline.offline_bytes + online_bytes,
            output=inference.logits.reshape(-1),
            online_bytes=online_bytes,
        )


def spu_pairs(stack: ExitStack, python: str, protocols: Iterable[str], network: Network, site: Site) -> list[Lines]:
    """SPU with each protocol on a network, until the end of ``stack``."""
    folder = network.file.parent
    inputs = (network.path / "weights.safetensors", folder / "client.safetensors")
    safetensors.numpy.save_file({"image": network.pictures[:, None]}, inputs[1])
    compile_program(python, [str(network.path)], folder)
    return [open_spu(stack, python, protocol, site, inputs, folder) for protocol in protocols]


def open_spu(
    stack: ExitStack,
    python: str,
    protocol: str,
    site: Site,
    inputs: tuple[Path, Path],
    folder: Path,
    share_output: bool = False,
) -> Lines:
    """SPU's server and client on the program in ``folder``, until the end of ``stack``; see spu/party.py."""
    kind, _, ot_kind = protocol.partition(":")
    task: dict[str, Any] = {"protocol": kind, "ot_kind": ot_kind, "share_output": share_output}
    task |= {"program": f"{folder}/program.bin", "addresses": [f"{host}:{free_port()}" for host in site.hosts]}
    commands = []
    for rank, path in enumerate(inputs):
        own = {**task, "rank": rank, "inputs": str(path), "log": f"{folder}/{protocol}-{rank}.log"}
        commands.append([python, "-u", str(SPU / "party.py"), json.dumps(own)])
    return stack.enter_context(line_pair(f"spu:{protocol}", commands, site, folder))


def compile_program(python: str, arguments: Sequence[str], folder: Path) -> None:
    """Make SPU's executable, outside all measured time. Raises ConfigError with the end of its output."""
    script = [python, str(SPU / "program.py"), *arguments, str(folder / "program.bin")]
    done = subprocess.run(script, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"SPU program: expected it to compile, found {done.stderr.strip()[-400:]}")


def spu_versions(python: str) -> dict[str, str]:
    """Versions in SPU's environment. Raises ConfigError if it is none."""
    script = "import json, sys, jax, numpy, spu; print(json.dumps({'python': sys.version.split()[0], "
    script += "'spu': spu.__version__, 'jax': jax.__version__, 'numpy': numpy.__version__}))"
    try:
        done = subprocess.run([python, "-c", script], capture_output=True, text=True)
    except OSError as error:
        raise ConfigError(f"--spu-python: expected a program, found {python}: {error.strerror}") from None
    if done.returncode:
        raise ConfigError(f"--spu-python: expected an environment made by setup.sh, found {done.stderr[-300:]}")
    versions: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return versions
