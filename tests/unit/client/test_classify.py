"""A server may give a place away while a client reads many files: then a session is opened anew."""

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pi_client import classify


class Session:
    """One that a server ends when ``alive`` says so."""

    def __init__(self, alive: bool, digest: str) -> None:
        self.alive = alive
        self.public = SimpleNamespace(public=SimpleNamespace(digest=digest, preprocess=f"as {digest} takes them"))

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("sessions", "opened", "read"),
    [
        ([(True, "a")], 1, ["a"]),
        ([(False, "a"), (True, "a")], 2, ["a"]),
        ([(False, "a"), (True, "b")], 2, ["a", "b"]),
        ([(False, "a"), (False, "a"), (False, "a")], 3, ["a"]),
    ],
)
def test_a_session_that_ended_while_files_were_read_is_opened_anew(
    sessions: list[tuple[bool, str]], opened: int, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, found = [Session(*one) for one in sessions], []

    def load(paths: Any, preprocess: Any) -> Any:
        found.append(preprocess)
        return preprocess, ("name",)

    waiting = iter(given)
    monkeypatch.setattr(classify, "open_session", lambda *_, **__: next(waiting))
    monkeypatch.setattr(classify, "load_inputs", load)
    nothing: Any = None
    session: Any
    inputs: Any
    with ExitStack() as stack:
        session, (inputs, _) = classify._open_with_inputs(stack, nothing, nothing, [Path("a.png")], False)
    assert session is given[opened - 1]
    assert len(list(waiting)) == len(given) - opened
    assert found == [f"as {digest} takes them" for digest in read]
    assert inputs == session.public.public.preprocess
