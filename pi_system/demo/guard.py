"""Who may use the page: browsers of this machine that were given its address, and nothing that they load elsewhere.

A page elsewhere can make a browser call 127.0.0.1, under a name of its own even (DNS rebinding): so the Host header
must be the page's own, every call but the first needs the cookie that the printed address sets, and a call that changes
something must come from the page itself (Origin). The cookie's name has the port: cookies do not tell ports apart.
"""

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HTTP: Final = 80
HEADERS: Final = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware around the page.

    Attributes:
        path: of the address to print, with the secret in it.
    """

    def __init__(self, app: ASGIApp, port: int):
        """``port``: of this machine, where the page is."""
        self._app = app
        said = "" if port == _HTTP else f":{port}"  # browsers leave it out
        self._hosts = {f"127.0.0.1{said}", f"localhost{said}"}
        self._cookie, self._secret = f"pi-demo-{port}", secrets.token_urlsafe(24)
        self.path = f"/?token={self._secret}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, set the cookie, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        response = self._answer(scope)
        await (response or self._app)(scope, receive, sealed)

    def _answer(self, scope: Scope) -> Response | None:
        """None: the page may answer."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._hosts:
            return PlainTextResponse("host: expected this machine's own address\n", 421)
        if self._same(self._given(headers)):
            if scope["method"] not in ("GET", "HEAD") and headers.get("origin") != f"http://{host}":
                return PlainTextResponse("origin: expected the page itself\n", 403)
            return None
        (token,) = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[:1]
        if scope["path"] != "/" or not self._same(token):
            return PlainTextResponse("token: open the address that pi-client demo printed\n", 403)
        response = RedirectResponse("/", 303)
        response.set_cookie(self._cookie, self._secret, httponly=True, samesite="strict")
        return response

    def _given(self, headers: Headers) -> str:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return morsel.value if morsel else ""

    def _same(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._secret.encode())
