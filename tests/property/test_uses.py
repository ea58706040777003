"""Records of uses under any order of sessions, crashes and restores: what is used was never used before."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from bundles import put
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_system.errors import CorrelationError
from pi_system.secure import place
from pi_system.secure.chain import Uses
from pi_system.secure.layout import Layout
from pi_system.secure.pairing import PairedStore

LAYOUT = Layout.of([("seed", 16)])
ROLES = ("server", "client")


def open_store(root: Path, role: Any) -> Any:
    return PairedStore(root, role=role, digest="d" * 64, backend="gmw", pairing_id="ab" * 16, limit_bytes=1 << 30)


class Session:
    """Two ends that go on step by step; every step is what one side does between two messages."""

    def __init__(self, root: Path) -> None:
        self.server, self.client = (open_store(root, role) for role in ROLES)
        self.steps = [self.announce, self.answer, self.settle, self.adopt]
        self.names = None

    def announce(self) -> None:
        self.announced = self.server.recorded()

    def answer(self) -> None:
        self.fits, self.mine = self.client.answer(self.announced)

    def settle(self) -> None:
        told = Uses(last=self.mine.last, confirmed=self.mine.confirmed)
        self.agreed = self.server.settle(self.announced, self.fits, told)

    def adopt(self) -> None:
        self.client.adopt(self.agreed, self.fits, self.mine)

    def prepare(self, material_id: Any) -> None:
        for store in (self.server, self.client):
            put(store, material_id, LAYOUT)

    def use(self) -> None:
        self.names = self.client.reserve_next(1)
        self.steps = [lambda: self.server.reserve_named(self.names), lambda: self.client.confirm(self.names)]


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["open", "step", "step", "step", "step", "use", "prepare", "drop"]), st.integers(0, 2)),
    max_size=60,
)


def run(operations: Any, root: Path, used: Any, sessions: Any, prepared: Any) -> None:
    """Apply ``operations``; a use counts when it is confirmed: then its first byte is sent."""
    for name, index in operations:
        if name == "open":
            sessions.append(Session(root))
            continue
        if not sessions:
            continue
        session = sessions[index % len(sessions)]
        try:
            if name == "drop":  # a crash: what the session had begun stays as it is
                sessions.remove(session)
            elif session.steps:
                session.steps.pop(0)()
                if session.names and not session.steps:
                    assert session.names[0][16:] not in used
                    used.add(session.names[0][16:])
                    session.names = None
            elif name == "prepare":
                prepared.append(f"{len(prepared):032x}")
                session.prepare(prepared[-1])
            elif name == "use":
                session.use()
        except CorrelationError:
            sessions.remove(session)


@settings(max_examples=20)
@given(operations=OPERATIONS)
def test_without_a_restore_nothing_is_ever_burned(operations: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, used, prepared = Path(folder), set[str](), list[str]()
        sessions = [Session(root)]
        for _ in range(4):
            sessions[0].steps.pop(0)()
        epoch = sessions[0].client.epoch
        run(operations, root, used, sessions, prepared)
        for role in ROLES:
            store = open_store(root, role)
            assert store.recorded().epoch == epoch
            assert {*store.ids(), *store.index.taken_since(store.key, 0.0)} == set(prepared)


@settings(max_examples=20)
@given(first=OPERATIONS, second=OPERATIONS, third=OPERATIONS, after=OPERATIONS, older=st.sampled_from(ROLES))
def test_sides_put_back_to_two_moments_with_a_use_between_use_nothing_twice(
    first: Any, second: Any, third: Any, after: Any, older: Any
) -> None:
    """By the messages alone: the files cannot tell that they are copies."""
    place_of, place.place_of = place.place_of, lambda descriptor: "everywhere"
    try:
        with tempfile.TemporaryDirectory() as folder:
            root, used, prepared, sessions = Path(folder, "store"), set[str](), list[str](), list[Session]()
            meeting = [("open", 0), *[("step", 0)] * 4, ("prepare", 0), ("prepare", 0), ("prepare", 0)]
            use = [("use", 0), ("step", 0), ("step", 0)]
            run([*meeting, *first], root, used, sessions, prepared)
            shutil.copytree(root / older, Path(folder, "older"))
            between = len(used)
            run([("drop", 0)] * 9 + [*meeting, *use, *second], root, used, [], prepared)
            assert len(used) > between
            (younger,) = set(ROLES) - {older}
            shutil.copytree(root / younger, Path(folder, "younger"))
            run([*meeting, *use, *third], root, used, [], prepared)
            shutil.rmtree(root)
            shutil.copytree(Path(folder, "older"), root / older)
            shutil.copytree(Path(folder, "younger"), root / younger)
            run([*meeting, *use, *after], root, used, [], prepared)
    finally:
        place.place_of = place_of
