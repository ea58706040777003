"""A client of the arrival-rate experiment: one session, driven by lines of JSON, each answered with one.

    {"level": N}                                   use up or prepare until exactly N inferences are prepared
    {"fill": N, "until_s": T}                      keep N prepared, in the background, until the next line or T
    {}                                             that next line; it has no answer
    {"serve": [OFFSET, ...], "start_s": T0, "until_s": T, "queue_limit": L, "fill": N or null}
                                                   serve requests that arrive at T0 + OFFSET, in order

Times are of the monotonic clock, which all processes of a machine share. A client whose material is on disk is two
such processes with one client id: one serves, the other fills. A backend that keeps it in memory serves and fills
(``fill``: N) by turns in one process: it prepares while nobody waits, or when nothing is left.
"""

import json
import select
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray
from parts.q04_arrivals import FifoQueue

from pi_system.errors import PiError
from pi_system.measure import ClientTask
from pi_system.rpc.client_session import ClientSession, Endpoint
from pi_system.rpc.session_config import SessionConfig

POLL_S = 0.002


class ServingTask(ClientTask):
    """A ClientTask whose client id is given: processes of one client share it and the store."""

    client_id: str


class Client:
    """The commands."""

    def __init__(self, session: ClientSession, pictures: NDArray[np.float32]):
        """``pictures`` (N, C, H, W), preprocessed, are used in turn."""
        self._session, self._pictures, self._next = session, pictures, 0
        self._offline_ms: list[float] = []

    def run(self, command: dict[str, Any]) -> dict[str, Any]:
        """One command and its answer."""
        self._offline_ms = []
        if "level" in command:
            return self._level(command["level"])
        if "serve" in command:
            return self._serve(command)
        if "fill" in command:
            while time.monotonic() < command["until_s"] and not _line_waits(0.0):
                if not self._fill_one(command["fill"]):
                    _line_waits(POLL_S)
        return {"offline_ms": self._offline_ms}

    def _level(self, count: int) -> dict[str, Any]:
        while self._session.available() > count:
            self._infer()
        while self._session.available() < count:
            self._fill_one(count)
        return {"offline_ms": self._offline_ms}

    def _fill_one(self, target: int) -> bool:
        if self._session.available() >= target:
            return False
        self._offline_ms.append(self._session.prepare(1).offline_ms)
        return True

    def _infer(self) -> dict[str, Any]:
        picture = self._next % len(self._pictures)
        self._next += 1
        logits, cost = self._session.infer(self._pictures[picture : picture + 1])
        return {"picture": picture, "logits": logits[0].tolist(), "online_ms": cost.online_ms}

    def _serve(self, command: dict[str, Any]) -> dict[str, Any]:
        start_s, until_s, fill = command["start_s"], command["until_s"], command["fill"]
        queue, requests = FifoQueue(command["queue_limit"]), list[dict[str, Any]]()
        for offset in command["serve"]:
            self._wait(start_s + offset, fill)
            request: dict[str, Any] = {"arrival_s": offset, "begin_s": None, "end_s": None, "state": "refused"}
            if queue.admits(offset):
                request["state"] = "unfinished"
                if self._have_material(until_s, fill):
                    begin_s = time.monotonic() - start_s
                    queue.begun(begin_s)
                    done = self._infer()
                    request |= done | {"begin_s": begin_s, "end_s": time.monotonic() - start_s, "state": "served"}
                else:
                    queue.begun(until_s - start_s)
            requests.append(request)
        return {"requests": requests, "offline_ms": self._offline_ms}

    def _wait(self, until_s: float, fill: int | None) -> None:
        while (left_s := until_s - time.monotonic()) > 0:
            if fill is None or not self._fill_one(fill):
                time.sleep(min(left_s, POLL_S) if fill is not None else left_s)

    def _have_material(self, until_s: float, fill: int | None) -> bool:
        """Wait for a prepared inference; False: it is too late."""
        while time.monotonic() < until_s:
            if self._session.available():
                return True
            if fill is None or not self._fill_one(fill):
                time.sleep(POLL_S)
        return False


def _line_waits(timeout_s: float) -> bool:
    return bool(select.select([sys.stdin], [], [], timeout_s)[0])


def main() -> None:
    """Serve commands until stdin ends."""
    task = ServingTask.model_validate_json(sys.argv[1])
    task.store.mkdir(mode=0o700, parents=True, exist_ok=True)
    endpoint = Endpoint(server=task.server, dealer=task.dealer, store_dir=task.store, timeout_s=task.timeout_s)
    config = SessionConfig(
        backend=task.backend, artifact_digest="", client_id=bytes.fromhex(task.client_id), link=task.link
    )
    pictures = np.load(task.pictures, allow_pickle=False)
    try:
        with ClientSession(endpoint, config) as session:
            client = Client(session, pictures)
            print(json.dumps({"ready": task.backend}), flush=True)
            for line in sys.stdin:
                if command := json.loads(line):
                    print(json.dumps(client.run(command)), flush=True)
    except PiError as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
