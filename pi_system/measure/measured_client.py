"""A client process under measurement, seen from the benchmark; see client_process.py for its program."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pi_system.errors import PeerUnavailableError
from pi_system.measure.processes import child_environment, end_group, pinned
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


class MeasuredClient:
    """One session in a process of its own; a context manager that ends the process."""

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
        self._log_path = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "wb") as stderr, pinned(core):
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-u", "-m", "pi_system.measure.client_process", task.model_dump_json()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=child_environment(threads),
                start_new_session=True,
            )
        try:
            self.digest = str(self._answer()["digest"])
        except BaseException:
            self.close()
            raise

    def prepare(self, count: int) -> OfflineCost:
        """Offline phase for ``count`` inferences. Raises PeerUnavailableError."""
        return OfflineCost(**self._ask({"prepare": count}))

    def infer(self, first: int, count: int) -> Inference:
        """Online phase for the pictures [first, first + count). Raises PeerUnavailableError."""
        answer = self._ask({"infer": first, "count": count})
        return Inference(
            cost=OnlineCost(**answer["online"]),
            logits=np.array(answer["logits"], dtype=np.float64),
            spans=tuple(LayerSpan(**span) for span in answer["spans"]),
        )

    def close(self) -> None:
        """End the session and the process; safe to call twice."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            end_group(self._process)

    def __enter__(self) -> "MeasuredClient":
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        if self._process.stdin is None:
            raise PeerUnavailableError("measured client: expected it to run, found it closed")
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise PeerUnavailableError(f"measured client: expected it to run, found it gone{self._tail()}") from None
        answer = self._answer()
        self.peak_memory_bytes = max(self.peak_memory_bytes, int(answer.pop("peak_memory_bytes")))
        return answer

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise PeerUnavailableError(f"measured client: expected an answer, found that it ended{self._tail()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerUnavailableError(f"measured client: {answer['error']}")
        return answer

    def _tail(self) -> str:
        lines = self._log_path.read_text(errors="replace").splitlines()[-3:]
        return f"; its log ends: {' | '.join(lines)}" if lines else ""
