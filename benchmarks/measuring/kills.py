"""Clients at a server whose workers are killed by SIGKILL, and what is left of it on both sides.

Every client prepares or infers, each time in a session of its own, pauses, and goes on whatever happened. Both sides
log the material of each use (level DEBUG); afterwards logs and stores are read (leftovers.py). Everything is in one
folder, and a run that was ended goes on there. Time in which the run was stopped does not count, and calls that a stop
broke are told apart.
"""

import json
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from measuring.documents import say
from measuring.leftovers import age, found_in
from measuring.load import Client, Load, outcome
from measuring.processes import Site
from measuring.programs import RunningProgram, start_server
from measuring.question import Sample
from measuring.sessions import Network
from measuring.steady import ActiveTime, Journal, claim

_LOOK_S: Final = 0.2
_NOTED_S: Final = 1.0
_SAID_S: Final = 30.0
_PAUSE_S: Final = 0.5
"""Mean, between two calls of a client."""
_PREPARED: Final = 0.3
"""Share of the calls that only prepare."""
_AHEAD: Final = 3
_AGED_S: Final = 3600.0
_NEAR_S: Final = 2.0
"""How late a kill may be noticed, and how long before the call it may be written down."""
_NEAR_STOP_S: Final = 20.0
"""Processes do not go on at the same moment, and gRPC's timers ran meanwhile."""
_ANSWERED: Final = ("served", "prepared", "wrong", "busy")
"""Busy is an answer, too: on a machine that is, a place may take longer than a client waits."""
_CLIENT_LOG: Final = "clients.log"
_SERVER_LOG: Final = "pi-server.log"
_NO_DEALER: Final = "127.0.0.1:1"


class KillRun:
    """One run in a folder."""

    def __init__(self, path: Path, folder: Path, load: Load, every_s: float):
        """``path``: an artifact's; a worker is killed ``every_s`` on average; ``load``: duration, clients, backend."""
        self._path, self._folder, self._load, self._every_s = path, folder, load, every_s
        self._network = Network(path, 16, folder)
        self._journal = Journal(folder / "journal.jsonl")
        self._time = ActiveTime(self._journal)
        self._rng, self._ended = np.random.default_rng(), threading.Event()
        _ = self._network.reference  # before threads ask for it

    def run(self) -> Sample:
        """Kill for what is missing to the duration, then look at what is left. Raises PiError."""
        if self._time.active_s < self._load.duration_s:
            with self._logged(), self._serving() as (server, clients):
                self._sit(server, clients)
        age(self._folder, _AGED_S)  # else what is left may still be a session's work in progress
        with self._logged(), self._serving() as (_, clients):
            for client in clients:
                client.meet()
            last = [self._once(client, "infer", prepares=True) for client in clients]
        return self._summary(last)

    @contextmanager
    def _serving(self) -> Iterator[tuple[RunningProgram, list[Client]]]:
        """A server, and its clients; a log that is there is kept."""
        log = self._folder / _SERVER_LOG
        if log.exists():
            log.rename(log.with_suffix(f".{time.time_ns()}.log"))
        options: dict[str, Any] = {"backends": (self._load.backend,), "max_sessions": 4, "site": Site(pinned=False)}
        options["program_options"] = ("--log-level", "DEBUG", "--log-format", "json")
        with start_server(self._path, _NO_DEALER, self._folder, **options) as server:
            place = (self._network, server.address, _NO_DEALER, self._folder)
            yield server, [Client(index, self._load, *place) for index in range(self._load.clients)]

    @contextmanager
    def _logged(self) -> Iterator[None]:
        """What the clients use, into their log."""
        logger, handler = logging.getLogger("pi_system"), logging.FileHandler(self._folder / _CLIENT_LOG)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            handler.close()

    def _sit(self, server: RunningProgram, clients: Sequence[Client]) -> None:
        self._ended.clear()
        threads = [threading.Thread(target=self._call, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        try:
            self._kill(server)
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def _kill(self, server: RunningProgram) -> None:
        """One worker after the other, at random times."""
        noted_s = said_s = self._time.look()
        due_s = noted_s + self._rng.exponential(self._every_s)
        while (active_s := self._time.look()) < self._load.duration_s:
            if active_s > due_s:
                due_s += self._rng.exponential(self._every_s)
                self._kill_one(server)
            if active_s > noted_s + _NOTED_S:
                self._journal.add(kind="sitting", active_s=active_s - noted_s)
                noted_s = active_s
            if active_s > said_s + _SAID_S:
                said_s, kills = active_s, len(self._journal.of("kill"))
                say(f"{active_s:.0f} of {self._load.duration_s:.0f} s, {kills} kills: {dict(self._states())}")
            time.sleep(_LOOK_S)
        self._journal.add(kind="sitting", active_s=active_s - noted_s)

    def _kill_one(self, server: RunningProgram) -> None:
        processes = psutil.Process(server.pid).children(recursive=True)
        workers = {process.pid for process in processes if process.ppid() != server.pid}  # forked by the fork server
        busy = workers & in_session((self._folder / _SERVER_LOG).read_text(errors="replace").splitlines())
        if not workers:  # the next ones are not there yet
            return
        pid = int(self._rng.choice(sorted(busy or workers)))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self._journal.add(kind="kill", at_s=time.time(), pid=pid)

    def _call(self, client: Client) -> None:
        rng = np.random.default_rng()
        while not self._ended.wait(rng.exponential(_PAUSE_S)):
            self._once(client, "prepare" if rng.random() < _PREPARED else "infer", prepares=False)

    def _once(self, client: Client, what: str, *, prepares: bool) -> str:
        begin_s = time.time()
        if what == "prepare":
            state = outcome(lambda: _prepared(client))
        else:
            state = client.infer(int(begin_s * 1000) % len(self._network.pictures), counted=prepares)
        self._journal.add(kind="call", what=what, client=client.index, begin_s=begin_s, end_s=time.time(), state=state)
        return state

    def _states(self) -> Counter[str]:
        return Counter(entry["state"] for entry in self._journal.of("call"))

    def _summary(self, last: Sequence[str]) -> Sample:
        calls, kills = self._journal.of("call"), self._journal.of("kill")
        lost = [call for call in calls if call["state"] not in _ANSWERED]
        by_stop = [call for call in lost if near(call, self._time.stops, _NEAR_STOP_S)]
        by_kill = [call for call in lost if near(call, [(k["at_s"], k["at_s"]) for k in kills], _NEAR_S)]
        other = [call for call in lost if call not in by_stop and call not in by_kill]
        logs = [*self._folder.glob("pi-server*.log")]
        found = found_in(self._folder, logs, self._folder / _CLIENT_LOG)
        sample = {
            "kind": "kills",
            "backend": self._load.backend,
            "clients": self._load.clients,
            "active_s": round(self._time.active_s),
            "stopped_s": round(self._time.stopped_s),
            "kills": len(kills),
            "states": dict(self._states()),
            "lost_by_kills": len(by_kill),
            "lost_by_stops": len([call for call in by_stop if call not in by_kill]),
            "lost_otherwise": other,
            **found,
        }
        return sample | {"claims": claims(sample, last)}


def _prepared(client: Client) -> str:
    client.prepare(_AHEAD)
    return "prepared"


def in_session(log: Iterable[str]) -> set[int]:
    """Workers whose session started and did not end, by the server's log."""
    found = set[int]()
    for line in log:
        if ': "session ' in line:
            entry = json.loads(line)
            (found.add if entry["message"].endswith(" starts") else found.discard)(entry["process"])
    return found


def near(call: Sample, moments: Sequence[tuple[float, float]], within_s: float) -> bool:
    """Whether something of ``moments``, from and to, lies in a call's time or close to it."""
    return any(begin - within_s < call["end_s"] and call["begin_s"] < end + within_s for begin, end in moments)


def claims(found: Sample, last: Sequence[str]) -> list[Sample]:
    """What the numbers say; ``last``: the states of a last call of each client."""
    wrong, unpaired = found["states"].get("wrong", 0), found["unpaired"]
    used = f"{found['used_twice']} of {found['uses']} uses"
    beside = len(found["lost_otherwise"])
    works = [
        f"{beside} calls lost without a kill",
        f"{sum(state != 'served' for state in last)} of the last {len(last)}",
    ]
    return [
        claim("no wrong answer", wrong, wrong == 0),
        claim("nothing used twice, by the logs of both sides", used, found["used_twice"] == 0 < found["uses"]),
        claim("the server used nothing that its client did not", found["foreign"], found["foreign"] == 0),
        claim("no half without the other, no file without a bundle", unpaired, unpaired == 0),
        claim("no record of uses was lost", found["burned"], found["burned"] == 0),
        claim("every later call works", ", ".join(works), not beside and set(last) == {"served"}),
    ]
