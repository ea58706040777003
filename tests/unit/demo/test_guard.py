"""Only browsers that were given the address use the page, and only from the page itself."""

from typing import Any

import pytest
from asgi import HOST, ask
from starlette.responses import PlainTextResponse

from pi_system.demo.guard import HEADERS, Guard

PORT = int(HOST.rpartition(":")[2])


async def page(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("page")(scope, receive, send)


@pytest.fixture
def guard() -> Guard:
    return Guard(page, PORT)


def cookie_of(answer: Any) -> str:
    return str(answer.headers["set-cookie"]).partition(";")[0]


def test_the_printed_address_gives_a_cookie_that_scripts_and_other_sites_do_not_get(guard: Guard) -> None:
    answer = ask(guard, guard.path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in answer.headers["set-cookie"].split(";")}
    assert ask(guard, "/", headers={"cookie": cookie_of(answer)}).content == b"page"


@pytest.mark.parametrize("target", ["/", "/?token=", "/?token=wrong", "/api/about", "/static/page.js", "/?token=%ff"])
def test_without_it_there_is_nothing(guard: Guard, target: str) -> None:
    answer = ask(guard, target)
    assert answer.status_code == 403
    assert answer.content == b"token: open the address that pi-client demo printed\n"


def test_the_token_opens_no_other_path(guard: Guard) -> None:
    assert ask(guard, guard.path.replace("/", "/api/about", 1)).status_code == 403


@pytest.mark.parametrize("cookie", ["", "pi-demo-7000=wrong", "pi-demo-7000", "a=b; ;=;", "pi-demo-7000=\xff"])
def test_a_wrong_cookie_is_none(guard: Guard, cookie: str) -> None:
    assert ask(guard, "/", headers={"cookie": cookie}).status_code == 403


@pytest.mark.parametrize("host", ["", "evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}"])
def test_another_name_for_this_machine_is_refused(guard: Guard, host: str) -> None:
    cookie = cookie_of(ask(guard, guard.path))
    answer = ask(guard, "/", headers={"host": host, "cookie": cookie})
    assert (answer.status_code, answer.content) == (421, b"host: expected this machine's own address\n")


def test_the_port_of_all_pages_is_not_said() -> None:
    assert ask(Guard(page, 80), "/", headers={"host": "127.0.0.1"}).status_code == 403
    assert ask(Guard(page, 80), "/", headers={"host": "127.0.0.1:8080"}).status_code == 421


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", f"https://{HOST}", "http://127.0.0.1"])
def test_another_site_changes_nothing(guard: Guard, origin: str | None) -> None:
    cookie = {"cookie": cookie_of(ask(guard, guard.path))}
    own = ask(guard, "/api/runs", "POST", cookie | {"origin": f"http://{HOST}"})
    other = ask(guard, "/api/runs", "POST", cookie | ({"origin": origin} if origin else {}))
    assert (own.content, other.status_code) == (b"page", 403)


def test_every_answer_forbids_what_is_loaded_elsewhere(guard: Guard) -> None:
    for answer in (ask(guard, "/"), ask(guard, guard.path), ask(guard, "/", headers={"host": "x"})):
        assert answer.headers.items() >= HEADERS.items()
    assert HEADERS["content-security-policy"].startswith("default-src 'self';")
