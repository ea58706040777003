"""A client process under measurement, seen from the benchmark; see client_process.py for its program."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pi_system.measure.line_process import LineProcess
from pi_system.measure.profile import LayerSpan
from pi_system.rpc.client_session import OfflineCost, OnlineCost

__all__ = ["ClientTask", "Inference", "MeasuredClient"]

_GOODBYE_S: Final = 5.0


class ClientTask(BaseModel):
    """What a measured client is started with, as JSON in its only argument.

    Attributes:
        server: HOST:PORT.
        dealer: HOST:PORT.
        backend: name in the registry.
        link: the imitated link.
        store: private folder of offline material.
        pictures: .npy file, float32 (N, C, H, W), preprocessed.
        timeout_s: how long a silent peer is waited for.
        keys: folder of ``write_keys``; None: plaintext.
        profile: keep profiles.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: str
    dealer: str
    backend: str
    link: str
    store: Path
    pictures: Path
    timeout_s: float
    keys: Path | None = None
    profile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """One online phase.

    Attributes:
        cost: seen from the client.
        logits: (N, classes).
        spans: the call's profile and that of the last preparation; empty unless the task asks for it.
    """

    cost: OnlineCost
    logits: NDArray[np.float64]
    spans: tuple[LayerSpan, ...] = ()


class MeasuredClient(LineProcess):
    """One session in a process of its own."""

    def __init__(self, task: ClientTask, *, log: Path, core: int | None, threads: int, prefix: Sequence[str] = ()):
        """Start it and wait until the session is open.

        Args:
            task: what it does.
            log: file for its stderr.
            core: it is pinned to; None: any.
            threads: of numerical libraries.
            prefix: command put in front of its own.

        Raises:
            PeerUnavailableError: the session could not be opened, with the client's error.
        """
        self.store = task.store
        self.peak_memory_bytes = 0
        command = [*prefix, sys.executable, "-u", "-m", "pi_system.measure.client_process", task.model_dump_json()]
        super().__init__("measured client", command, log=log, core=core, threads=threads, goodbye_s=_GOODBYE_S)
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
        return Inference(
            cost=OnlineCost(**answer["online"]),
            logits=np.array(answer["logits"], dtype=np.float64),
            spans=tuple(LayerSpan(**span) for span in answer["spans"]),
        )

    def _measured(self, command: dict[str, Any]) -> dict[str, Any]:
        """The answer, however long it takes: the session's own time limits end a silent peer."""
        answer = self.ask(command, None)
        self.peak_memory_bytes = max(self.peak_memory_bytes, int(answer.pop("peak_memory_bytes")))
        return answer
