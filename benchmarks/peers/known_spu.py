"""SecretFlow SPU alone on a well-known network: offline and online together, over loopback.

What it cannot do (an operation, the memory of this machine, the time allowed) is said in the place of its costs.
"""

import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final

import numpy as np
import psutil
from measuring.documents import say
from measuring.known import Known, comparison
from measuring.processes import HERE, descendants
from measuring.sessions import Network
from peers.systems import PeerRun, spu_pairs, spu_versions

from pi_system.errors import ConfigError, PeerUnavailableError

RESERVE_BYTES: Final = 3 << 29
"""Memory that is left to the machine: below it SPU is ended before the kernel ends something else."""
_LOOK_S: Final = 0.5


class Guard:
    """Ends what was started in its block once memory or time is out; ``reason`` says which, empty: neither."""

    def __init__(self, limit_s: float, reserve_bytes: int = RESERVE_BYTES) -> None:
        """``limit_s``: from the start of the block."""
        self.reason, self._limit_s, self._reserve = "", limit_s, reserve_bytes
        self._ended = threading.Event()

    def __enter__(self) -> "Guard":
        """Look every now and then."""
        self._until_s = monotonic() + self._limit_s
        self._others = set(psutil.Process().children())
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """No more."""
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(_LOOK_S) and not self.reason:
            if psutil.virtual_memory().available < self._reserve:
                self._end("out of memory")
            elif monotonic() > self._until_s:
                self._end(f"more than {self._limit_s:,.0f} s")

    def _end(self, reason: str) -> None:
        self.reason, held = reason, 0
        started = set(psutil.Process().children()) - self._others
        for pid in [pid for child in started for pid in (*descendants(child.pid), child.pid)]:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                held += process.memory_info().rss
                process.kill()
        self.reason = f"{reason}, with {held / 1e9:.1f} GB held by its processes"


def infer(known: Known, python: str, protocol: str, repeat: int, limit_s: float) -> dict[str, Any]:
    """``repeat`` inferences of one SPU session on the pictures of ours, compared with torch, or ``failed``: why not."""
    about = {"backend": f"spu:{protocol}", "link": HERE.name, "spu": spu_versions(python)}
    pictures = known.pictures(repeat)
    with TemporaryDirectory(prefix="pi-spu-") as name, Guard(limit_s) as guard:
        network = Network(known.artifact, repeat, Path(name), pictures=pictures)
        try:
            runs, peak = _runs(network, python, protocol, repeat)
        except (ConfigError, PeerUnavailableError) as error:
            return {**about, "failed": guard.reason or " ".join(str(error).split())[-400:]}
    samples: dict[str, list[float]] = {
        "total_ms": [run.ms for run in runs],
        "total_bytes": [run.total_bytes for run in runs],
    }
    return {
        **about,
        **comparison(np.stack([run.output for run in runs]), known.logits(pictures)),
        **{name: median(values) for name, values in samples.items()},
        "samples": samples,
        "peak_memory_bytes": peak,
    }


def _runs(network: Network, python: str, protocol: str, repeat: int) -> tuple[list[PeerRun], dict[str, int]]:
    runs = []
    with ExitStack() as stack:
        (pair,) = spu_pairs(stack, python, [protocol], network, HERE)
        for index in range(repeat):
            runs.append(pair.run(index))
            say(f"{network.name} spu:{protocol}: {runs[-1].ms / 1000:.0f} s, {runs[-1].total_bytes / 1e6:.0f} MB")
        return runs, pair.peak().model_dump()
