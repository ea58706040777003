"""What the page's server answers, its parties left out; every bad input is one line."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from asgi import ask

import pi_system.demo.app as app_module
from pi_system.demo.app import make_app
from pi_system.demo.parties import BACKENDS, LINKS
from pi_system.demo.runs import Runs
from pi_system.errors import ConfigError

GOOD = "/api/runs?backend=gmw&link=loopback&reveal=label&relus=full"


class NoParties:
    def start(self) -> None:
        raise ConfigError("keys: cannot be made")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    parties: Any = NoParties()
    return Runs(parties, tmp_path)


@pytest.fixture
def app(runs: Runs) -> Any:
    return make_app(runs)


def test_the_page_and_its_files_are_in_the_package(app: Any) -> None:
    page = ask(app, "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for name in ("page.js", "calls.js", "draw.js", "page.css", "icon.svg"):
        assert ask(app, f"/static/{name}").status_code == 200
    assert b"http" not in page.content.replace(b"http-equiv", b"")


def test_the_switches_are_what_there_is(app: Any) -> None:
    about = ask(app, "/api/about").json()
    assert about["switches"]["backend"] == list(BACKENDS)
    assert about["switches"]["link"] == list(LINKS)
    assert about["network"]["half"] < about["network"]["accuracy"]
    assert len(about["classes"]) == 10
    for name in about["samples"]:
        assert ask(app, f"/api/samples/{name}").content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("/api/samples/none", "sample: expected one of ship, airplane, car, frog; found 'none'"),
        ("/api/runs/7/events", "run: expected one of the last 8, found 7"),
        ("/api/runs/7/picture", "run: expected one of the last 8, found 7"),
        ("/api/runs/7/layers/input", "run: expected one of the last 8, found 7"),
        ("/api/runs/x/picture", "Not Found"),
        (f"/api/runs/{'9' * 5000}/picture", "Not Found"),
        ("/static/../app.py", "Not Found"),
    ],
)
def test_what_there_is_not_is_one_line(app: Any, target: str, line: str) -> None:
    answer = ask(app, target)
    assert answer.status_code in (400, 404)
    assert answer.json() == {"error": line}


@pytest.mark.parametrize(
    ("target", "body", "line"),
    [
        (GOOD, b"", "picture: expected a file, found no bytes"),
        (GOOD.replace("gmw", "magic"), b"x", "backend: expected one of gmw, gc, table, fss; found 'magic'"),
        (GOOD.replace("loopback", "moon"), b"x", "link: expected one of loopback, lan, wan; found 'moon'"),
        (GOOD.replace("label", "weights"), b"x", "reveal: expected one of label, scores, logits; found 'weights'"),
        (GOOD.replace("full", "../.."), b"x", "relus: expected one of full, half; found '../..'"),
        ("/api/runs", b"x", "backend: expected one of gmw, gc, table, fss; found None"),
    ],
)
def test_a_bad_request_starts_nothing(app: Any, runs: Runs, target: str, body: bytes, line: str) -> None:
    assert ask(app, target, "POST", body=body).json() == {"error": line}
    with pytest.raises(Exception, match="found 0"):
        runs.find(0)


def test_a_picture_has_a_limit(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "MAX_PICTURE_BYTES", 100_000)
    answer = ask(app, GOOD, "POST", body=bytes(100_001))
    assert (answer.status_code, answer.json()["error"]) == (400, "picture: expected at most 100,000 bytes, found more")


def test_a_page_that_goes_while_it_sends_is_no_error(app: Any) -> None:
    messages = iter([{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}])
    path, _, query = GOOD.partition("?")
    scope = {"type": "http", "method": "POST", "path": path, "query_string": query.encode(), "headers": []}
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 499


def test_one_inference_at_a_time_and_why_there_is_none(app: Any, runs: Runs) -> None:
    assert ask(app, GOOD, "POST", body=b"x").json() == {"run": 0}
    second = ask(app, GOOD, "POST", body=b"x")
    assert (second.status_code, second.json()["error"]) == (
        409,
        "run: expected one inference at a time, found another one running",
    )
    runs.prepare()
    events = ask(app, "/api/runs/0/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    assert b'{"event": "failed", "message": "keys: cannot be made"}' in events.content
    answer = ask(app, "/api/runs/0/picture")
    assert answer.json() == {"error": "run: expected one that ended well, found 0"}
