"""Inferences that the page asked for: one after the other, each with the events that the page follows."""

import itertools
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from pi_system.artifact.store import load_public
from pi_system.demo.files import SERVER_FILE
from pi_system.demo.parties import BACKENDS, LINKS, Parties
from pi_system.demo.request import Request
from pi_system.demo.variants import NETWORKS, RELUS, Relus
from pi_system.demo.view import View
from pi_system.errors import ConfigError, InputError, LimitError, PiError
from pi_system.networks import artifact_folder
from pi_system.program.reveal import REVEALS, Reveal

SWITCHES: Final[dict[str, tuple[str, ...]]] = {
    "backend": BACKENDS,
    "link": tuple(LINKS),
    "reveal": REVEALS,
    "relus": RELUS,
}
"""Of the page, with their positions."""
KEPT: Final = 8
"""Inferences whose shares are kept. More: disk. Fewer: a race, which is two, and little before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The page's switches.

    Attributes:
        backend: by name.
        link: imitated between the parties.
        reveal: what the client asks to learn.
        relus: of which network.
    """

    backend: str
    link: str
    reveal: Reveal
    relus: Relus

    @classmethod
    def of(cls, given: dict[str, str]) -> "Choice":
        """Checked. Raises InputError: a switch that is missing or has no such position."""
        for name, known in SWITCHES.items():
            if given.get(name) not in known:
                raise InputError(f"{name}: expected one of {', '.join(known)}; found {given.get(name)!r:.40}")
        return cls(**{name: cast(Any, given[name]) for name in SWITCHES})


@dataclass(slots=True)
class Run:
    """An inference.

    Attributes:
        number: of it.
        events: so far; the last of all is ``done`` or ``failed``.
        view: of what has ended well.
    """

    number: int
    events: list[dict[str, Any]] = field(default_factory=list)
    view: View | None = None

    @property
    def ended(self) -> bool:
        """No event follows."""
        return bool(self.events) and self.events[-1]["event"] in ("done", "failed")


class Runs:
    """All of them."""

    def __init__(self, parties: Parties, folder: Path):
        """``folder``: for their files."""
        self._parties, self._folder = parties, folder
        self._numbers = itertools.count()
        self._runs: dict[int, Run] = {}
        self._busy = threading.Lock()
        self.begun = threading.Event()
        """The parties run."""
        self.problem = ""
        """Why they do not."""

    def prepare(self) -> None:
        """Start the parties; what goes wrong is told to who asks for an inference."""
        try:
            self._parties.start()
        except PiError as error:
            self.problem = str(error)
        self.begun.set()

    def start(self, picture: bytes, choice: Choice) -> Run:
        """Begin an inference, in a thread of its own. Raises LimitError: another one is running."""
        if not self._busy.acquire(blocking=False):
            raise LimitError("run: expected one inference at a time, found another one running")
        run = Run(next(self._numbers))
        self._runs[run.number] = run
        for old in list(self._runs)[:-KEPT]:
            del self._runs[old]
            shutil.rmtree(self._place(old), ignore_errors=True)
        threading.Thread(target=self._work, args=(run, picture, choice), name="run", daemon=True).start()
        return run

    def find(self, number: int) -> Run:
        """Raises InputError: there is none, or it was forgotten."""
        if number not in self._runs:
            raise InputError(f"run: expected one of the last {KEPT}, found {number}")
        return self._runs[number]

    def view(self, number: int) -> View:
        """Of an inference that ended well. Raises InputError: it did not."""
        found = self.find(number).view
        if found is None:
            raise InputError(f"run: expected one that ended well, found {number}")
        return found

    def _place(self, number: int) -> Path:
        return self._folder / f"run-{number}"

    def _work(self, run: Run, picture: bytes, choice: Choice) -> None:
        try:
            self._infer(run, picture, choice)
        except PiError as error:
            run.events.append({"event": "failed", "message": str(error)})
        except Exception as error:  # the page would wait for ever
            run.events.append({"event": "failed", "message": f"demo: {type(error).__name__}: {error}"})
            raise
        finally:
            self._busy.release()

    def _infer(self, run: Run, picture: bytes, choice: Choice) -> None:
        run.events.append({"event": "waiting", "what": "for the parties' processes"})
        self.begun.wait()
        if self.problem:
            raise ConfigError(self.problem)
        place, parties = self._place(run.number), self._parties
        place.mkdir()
        (place / "picture").write_bytes(picture)
        run.events.append({"event": "waiting", "what": "for a server of this network"})
        server, dealer = parties.server(choice.relus), parties.dealer()
        request = Request(
            picture=str(place / "picture"),
            folder=str(place),
            server=parties.behind(choice.link, server),
            dealer=parties.behind(choice.link, dealer),
            backend=choice.backend,
            reveal=choice.reveal,
            keys=str(parties.keys / "client"),
            store=str(parties.store),
        )
        self._follow(run, request, choice.relus)

    def _follow(self, run: Run, request: Request, relus: Relus) -> None:
        parties, place = self._parties, self._place(run.number)
        try:
            for event in parties.client().run(request):
                if event["event"] == "done":  # the files are there before the page asks for them
                    shutil.copyfile(parties.shares_file(relus), place / SERVER_FILE)
                    run.view = View(load_public(artifact_folder(NETWORKS[relus])), place)
                if event["event"] == "failed":
                    parties.forget()
                run.events.append(event)
        except PiError:
            parties.forget()
            raise
