"""Mutated frames at a real server, over several connections, while an honest client asks for inferences all the time.

Every stream is a session that goes wrong in one of its phases (mutation.py), with one backend after the other; several
go on at once, and as many fail at the hello. What the server must not do about it: log a traceback, lose a worker, or
keep the honest client waiting.
"""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
from measuring.documents import say
from measuring.load import Client, Load
from measuring.mutation import mutated
from measuring.processes import Site
from measuring.programs import start_dealer, start_server
from measuring.question import Sample
from measuring.recording import PHASES, Recording, record
from measuring.sessions import Network
from measuring.steady import ActiveTime, Journal, claim

from pi_system.rpc.dealer_link import DEALER_METHOD
from pi_system.rpc.session_config import SESSION_METHOD
from pi_system.rpc.status import ERROR_KEY, RETRY_KEY, TICKET_KEY
from pi_system.rpc.transport import OPTIONS, SERVICE

BACKENDS: Final = ("gmw", "gc", "table", "fss", "crypten")
_PLACES: Final = 4
_LOOK_S: Final = 0.2
_NOTED_S: Final = 5.0
_SAID_S: Final = 20.0
_STREAM_S: Final = 60.0
_HONEST_PAUSE_S: Final = 0.5
_GAP_S: Final = 60.0
"""An honest client's call takes no longer."""
_SERVER_LOG: Final = "pi-server.log"
_BAD: Final = ("Traceback", "ends by a bug", "ended with code")


class FrameRun:
    """One run in a folder."""

    def __init__(self, path: Path, folder: Path, backends: Sequence[str]):
        """``path``: an artifact's."""
        self._path, self._folder, self._backends = path, folder, backends
        self._network = Network(path, 16, folder)
        self._journal = Journal(folder / "journal.jsonl")
        self._time = ActiveTime(self._journal)
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._frames, self._streams = Counter[str](), Counter[str]()
        _ = self._network.reference  # before threads ask for it

    def run(self, frames: int) -> Sample:
        """Send what is missing to so many mutated frames. Raises PiError."""
        if self._sent() < frames:
            with ExitStack() as stack:
                self._sit(stack, frames)
        return self._summary()

    def _sent(self) -> int:
        return sum(sum(entry["frames"].values()) for entry in self._journal.of("sitting")) + self._frames.total()

    def _sit(self, stack: ExitStack, frames: int) -> None:
        log, site = self._folder / _SERVER_LOG, Site(pinned=False)
        if log.exists():
            log.rename(log.with_suffix(f".{time.time_ns()}.log"))
        dealer = stack.enter_context(start_dealer(self._folder, site=site, options=("--patience", "5"))).address
        more = ("--insecure-provider", "--timeout", "20")
        options: dict[str, Any] = {"backends": self._backends, "max_sessions": _PLACES, "site": site, "options": more}
        server = stack.enter_context(start_server(self._path, dealer, self._folder, **options)).address
        recordings = [record(name, self._network, server, dealer, self._folder) for name in self._backends]
        threads = [threading.Thread(target=self._honest, args=(server, dealer))]
        for index in range(_PLACES):
            threads.append(threading.Thread(target=self._attack, args=(index, server, dealer, recordings)))
        for thread in threads:
            thread.start()
        try:
            self._watch(frames)
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def _watch(self, frames: int) -> None:
        begun_s = noted_s = said_s = self._time.look()
        before = self._sent()
        while (sent := self._sent()) < frames:
            active_s = self._time.look()
            if active_s > noted_s + _NOTED_S:
                self._note(active_s - noted_s)
                noted_s = active_s
            if active_s > said_s + _SAID_S:
                said_s, rate = active_s, (sent - before) / (active_s - begun_s)
                states = Counter(entry["state"] for entry in self._journal.of("call"))
                say(f"{sent:,} of {frames:,} frames, {rate:.0f}/s; honest: {dict(states)}")
            time.sleep(_LOOK_S)
        self._note(self._time.look() - noted_s)

    def _note(self, active_s: float) -> None:
        with self._lock:
            found = {"frames": dict(self._frames), "streams": dict(self._streams)}
            self._frames.clear()
            self._streams.clear()
        self._journal.add(kind="sitting", active_s=active_s, **found)

    def _honest(self, server: str, dealer: str) -> None:
        load = Load(backend="gmw", clients=1, rate_per_s=None, duration_s=0.0, counted=True)
        client, picture = Client(200, load, self._network, server, dealer, self._folder), 0
        while not self._ended.wait(_HONEST_PAUSE_S):
            begin_s, picture = time.time(), picture + 1
            state = client.infer(picture % len(self._network.pictures), counted=True)
            self._journal.add(kind="call", begin_s=begin_s, end_s=time.time(), state=state)

    def _attack(self, index: int, server: str, dealer: str, recordings: Sequence[Recording]) -> None:
        """Sessions one after the other; the last of these threads gets no further than hello."""
        rng = np.random.default_rng()
        client_id = bytes([7, index]).rjust(16, b"\2")
        shares = (1.0, 0.0, 0.0, 0.0) if index == _PLACES - 1 else (0.0, 0.1, 0.5, 0.4)
        with grpc.insecure_channel(server, OPTIONS) as channel, grpc.insecure_channel(dealer, OPTIONS) as dealers:
            ticket = ""
            while not self._ended.is_set():
                recording, pairing_id = recordings[int(rng.integers(len(recordings)))], secrets.token_bytes(16)
                phase, stream = PHASES[int(rng.choice(len(PHASES), p=shares))], Stream()
                what = f"{recording.config.backend} {phase}"
                frames = mutated(recording.replayed(client_id, pairing_id, ticket), phase, rng)
                partner = Stream()
                if recording.dealt is not None and phase in ("offline", "online"):
                    asked = ((message.body + bytes([message.tag]), False) for message in recording.asked(pairing_id))
                    threading.Thread(target=partner.run, args=(dealers, DEALER_METHOD, asked), daemon=True).start()
                found = stream.run(channel, SESSION_METHOD, frames if phase == "hello" else stream.greeted(frames))
                partner.cancel()
                with self._lock:
                    self._frames[what] += stream.changed
                    self._streams[f"{what} {found}"] += 1
                ticket = stream.told.get(TICKET_KEY, "")
                self._ended.wait(float(stream.told.get(RETRY_KEY, 0)) / 1000)

    def _summary(self) -> Sample:
        sittings, calls = self._journal.of("sitting"), self._journal.of("call")
        frames, streams = Counter[str](), Counter[str]()
        for entry in sittings:
            frames.update(entry["frames"])
            streams.update(entry["streams"])
        log = "\n".join(path.read_text(errors="replace") for path in self._folder.glob("pi-server*.log"))
        sample = {
            "kind": "frames",
            "backends": list(self._backends),
            "frames": frames.total(),
            "streams": streams.total(),
            "frames_by_phase": dict(sorted(frames.items())),
            "streams_by_end": dict(sorted(streams.items())),
            "active_s": round(self._time.active_s),
            "honest": dict(Counter(call["state"] for call in calls)),
            "honest_slowest_s": round(max((call["end_s"] - call["begin_s"] for call in calls), default=0.0), 2),
            "stopped_s": round(self._time.stopped_s),
            "bad_lines": {text: log.count(text) for text in _BAD},
        }
        return sample | {"claims": claims(sample)}


class Stream:
    """One stream of raw frames.

    Attributes:
        changed: mutated frames that it took so far.
        told: what the server said at its end.
    """

    def __init__(self) -> None:
        """Nothing is sent yet."""
        self.changed, self._answers, self.told = 0, 0, dict[str, str]()
        self._greeted, self._call = threading.Event(), None

    def run(self, channel: grpc.Channel, method: str, frames: Iterable[tuple[bytes, bool]]) -> str:
        """Send them; how the stream ends: the name of the server's error, or of gRPC's status."""
        opened: Any = channel.stream_stream(f"/{SERVICE}/{method}", None, None)
        self._call = call = opened(self._taken(frames), timeout=_STREAM_S, wait_for_ready=True)
        try:
            for _ in call:
                self._answers += 1
                if self._answers > 1:  # the first says that the stream is open
                    self._greeted.set()
        except grpc.RpcError:
            self.told = {key: str(value) for key, value in call.trailing_metadata() or ()}
            return self.told.get(ERROR_KEY, str(call.code().name))
        finally:
            self._greeted.set()
        return "OK"

    def greeted(self, frames: Iterable[tuple[bytes, bool]]) -> Iterator[tuple[bytes, bool]]:
        """The first, then the others once the server has greeted: it has given the session a place."""
        for number, frame in enumerate(frames):
            yield frame
            if number == 0:
                self._greeted.wait()

    def cancel(self) -> None:
        """End it now, if it runs."""
        if self._call is not None:
            self._call.cancel()

    def _taken(self, frames: Iterable[tuple[bytes, bool]]) -> Iterator[bytes]:
        """The frames as gRPC takes them, until the stream has ended."""
        for frame, changed in frames:
            if self._call is not None and not self._call.is_active():
                return
            self.changed += changed
            yield frame


def claims(found: Sample) -> list[Sample]:
    """What the numbers say."""
    bad, honest = found["bad_lines"], found["honest"]
    others = {state: count for state, count in honest.items() if state != "served"}
    rest = others or "none otherwise"
    told = f"{honest.get('served', 0)} served, {rest}, the slowest after {found['honest_slowest_s']:g} s"
    return [
        claim("no traceback", bad["Traceback"] + bad["ends by a bug"], bad["Traceback"] + bad["ends by a bug"] == 0),
        claim("no worker lost", bad["ended with code"], bad["ended with code"] == 0),
        claim("new sessions are served all the time", told, not others and honest.get("served", 0) > 0),
    ]
