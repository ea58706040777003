"""The program of a measured client: one session, driven by lines of JSON on stdin, each answered with one on stdout.

    {"prepare": COUNT}             -> {"count":, "offline_ms":, "offline_bytes":, ...}
    {"infer": FIRST, "count": N}   -> {"online":, "logits":}
    {"level": N}                   use up or prepare until exactly N inferences are prepared
    {"fill": N, "until_s": T}      keep N prepared, in the background, until the next line or T
    {}                             that next line; it has no answer
    {"serve": [OFFSET, ...], "start_s": T0, "until_s": T, "queue_limit": L, "fill": N or null}
                                   serve requests that arrive at T0 + OFFSET, in order

It is the client of rpc/ and nothing else, so its memory (in every answer) and its core are a client's. An error is
answered with {"error": TEXT} and ends it. Times are of the monotonic clock, which all processes of a machine share. Of
a client whose material is on disk, two such processes with one client id may run: one serves, the other fills. A
backend that keeps it in memory serves and fills (``fill``: N) by turns: it prepares while nobody waits, or when
nothing is left.
"""

import json
import os
import select
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measuring.memory import peak_memory_bytes
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pi_system.channel.link import parse_link
from pi_system.channel.shaped import shape
from pi_system.errors import PiError
from pi_system.kernels.cores import use_threads
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.endpoint import Endpoint
from pi_system.rpc.envelope import ID_BYTES
from pi_system.rpc.session_config import SessionConfig
from pi_system.rpc.tls import Identity

POLL_S = 0.002
Message = dict[str, Any]


class ClientTask(BaseModel):
    """What a measured client is started with, as JSON in its only argument.

    ``pictures``: .npy file, float32 (N, C, H, W), preprocessed; ``store``: private folder of offline material;
    ``link``: that this end imitates, the server is started with its own;
    ``client_id``: hexadecimal, shared with the store by processes of one client, empty for a new one; ``threads``:
    cores to compute with, None: those that it may run on.
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
    client_id: str = ""
    line: bool = True
    threads: int | None = None


class Client:
    """The commands."""

    def __init__(self, session: ClientSession, pictures: NDArray[np.float32]):
        """``pictures`` (N, C, H, W), preprocessed; requests use them in turn."""
        self._session, self._pictures, self._next = session, pictures, 0
        self._offline_ms: list[float] = []

    def run(self, command: Message) -> Message:
        """One command and its answer."""
        self._offline_ms = []
        if "prepare" in command:
            return asdict(self._session.prepare(command["prepare"]))
        if "infer" in command:
            first = command["infer"]
            logits, cost = self._session.infer(self._pictures[first : first + command["count"]])
            return {"online": asdict(cost), "logits": logits.tolist()}
        if "level" in command:
            return self._level(command["level"])
        if "serve" in command:
            return self._serve(command)
        while time.monotonic() < command["until_s"] and not _line_waits(0.0):
            if not self._fill_one(command["fill"]):
                _line_waits(POLL_S)
        return {"offline_ms": self._offline_ms}

    def _level(self, count: int) -> Message:
        while self._session.available() > count:
            self._request()
        while self._session.available() < count:
            self._fill_one(count)
        return {"offline_ms": self._offline_ms}

    def _fill_one(self, target: int) -> bool:
        if self._session.available() >= target:
            return False
        self._offline_ms.append(self._session.prepare(1).offline_ms)
        return True

    def _request(self) -> Message:
        picture = self._next % len(self._pictures)
        self._next += 1
        logits, cost = self._session.infer(self._pictures[picture : picture + 1])
        return {"picture": picture, "logits": logits[0].tolist(), "online_ms": cost.online_ms}

    def _serve(self, command: Message) -> Message:
        start_s, until_s, fill = command["start_s"], command["until_s"], command["fill"]
        begins, requests = list[float](), list[Message]()
        for offset in command["serve"]:
            self._pass(start_s + offset, fill)
            request: Message = {"arrival_s": offset, "begin_s": None, "end_s": None, "state": "refused"}
            requests.append(request)
            if sum(begin_s > offset for begin_s in begins) >= command["queue_limit"]:
                continue
            if not self._pass(until_s, fill, material=True):
                request["state"] = "unfinished"
                begins.append(until_s - start_s)
                continue
            begins.append(time.monotonic() - start_s)
            request |= self._request() | {"begin_s": begins[-1], "end_s": time.monotonic() - start_s, "state": "served"}
        return {"requests": requests, "offline_ms": self._offline_ms}

    def _pass(self, until_s: float, fill: int | None, *, material: bool = False) -> bool:
        """Fill or sleep until then or, ``material``, until an inference is prepared; whether that was in time."""
        while (left_s := until_s - time.monotonic()) > 0:
            if material and self._session.available():
                return True
            if fill is None or not self._fill_one(fill):
                time.sleep(left_s if fill is None and not material else min(left_s, POLL_S))
        return False


def _line_waits(timeout_s: float) -> bool:
    return bool(select.select([sys.stdin], [], [], timeout_s)[0])


def main() -> None:
    """Serve commands until stdin ends."""
    task = ClientTask.model_validate_json(sys.argv[1])
    try:
        _serve_lines(task)
    except PiError as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        sys.exit(error.exit_code)


def _serve_lines(task: ClientTask) -> None:
    use_threads(task.threads)
    pictures = np.load(task.pictures, allow_pickle=False)
    task.store.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = Identity.load(task.keys / "client") if task.keys else None
    endpoint = Endpoint(
        server=task.server,
        dealer=task.dealer,
        store_dir=task.store,
        line=task.line,
        timeout_s=task.timeout_s,
        identity=identity,
        wrap=partial(shape, link=parse_link(task.link)),
    )
    client_id = bytes.fromhex(task.client_id) or os.urandom(ID_BYTES)
    config = SessionConfig(backend=task.backend, artifact_digest="", client_id=client_id)
    dialled_s = time.monotonic()
    with ClientSession(endpoint, config) as session:
        greeting = {"digest": session.public.public.digest, "open_ms": 1000 * (time.monotonic() - dialled_s)}
        client = Client(session, pictures)
        print(json.dumps(greeting), flush=True)
        for line in sys.stdin:
            if command := json.loads(line):
                answer = client.run(command) | {"peak_memory_bytes": peak_memory_bytes()}
                print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
