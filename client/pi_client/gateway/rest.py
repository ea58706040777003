"""The protocol over REST, as an ASGI application."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Final, TypeAlias

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pi_client.gateway.gateway import Gateway
from pi_client.gateway.messages import InferResponse
from pi_client.gateway.rest_messages import BINARY, HEADER_LENGTH, read_request, write_metadata, write_response
from pi_system import __version__
from pi_system.errors import BusyError, InputError, PeerUnavailableError
from pi_system.rpc.calls import RefusedError, status_of

_LOG = logging.getLogger(__name__)
NAME: Final = "pi-system gateway"
_CODES: Final = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "CANCELLED": 499,
    "RESOURCE_EXHAUSTED": 503,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


def make_app(gateway: Gateway, *, most_bytes: int, hosts: tuple[str, ...]) -> Starlette:
    """The application.

    Args:
        gateway: that answers.
        most_bytes: of a request's body.
        hosts: names under which it may be called: a page in a browser cannot reach it by a name of its own.
    """
    rest = _Rest(gateway, most_bytes)
    routes = [
        Route("/v2/health/live", _guarded(rest.live)),
        Route("/v2/health/ready", _guarded(rest.ready)),
        Route("/v2", _guarded(rest.server)),
        Route("/v2/", _guarded(rest.server)),
    ]
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route(path, _guarded(rest.model)),
            Route(f"{path}/ready", _guarded(rest.model_ready)),
            Route(f"{path}/infer", _guarded(rest.infer), methods=["POST"]),
        ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)],
        exception_handlers={HTTPException: _http_error},
    )


class _Rest:
    """The calls."""

    def __init__(self, gateway: Gateway, most_bytes: int):
        self._gateway, self._most_bytes = gateway, most_bytes

    async def live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, _: Request) -> Response:
        ready = await run_in_threadpool(self._gateway.ready)
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def server(self, _: Request) -> Response:
        return JSONResponse({"name": NAME, "version": __version__, "extensions": [BINARY]})

    async def model_ready(self, request: Request) -> Response:
        name, version = _named(request)
        ready = await run_in_threadpool(self._gateway.model_ready, name, version)
        return JSONResponse({"name": name, "ready": ready}, 200 if ready else 503)

    async def model(self, request: Request) -> Response:
        return JSONResponse(write_metadata(await run_in_threadpool(self._gateway.metadata, *_named(request))))

    async def infer(self, request: Request) -> Response:
        if request.headers.get("origin"):
            raise RefusedError("INVALID_ARGUMENT", "request: expected a program's, found one of a page in a browser")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise InputError("Content-Encoding: expected none, found one")
        body = await self._body(request)
        future, raw = await run_in_threadpool(self._submit, *_named(request), body, request.headers.get(HEADER_LENGTH))
        response = await _unless_gone(request, future)
        if response is None:
            return Response(status_code=499)
        content, header = write_response(response, raw)
        if header is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={HEADER_LENGTH: str(header)})

    def _submit(
        self, model: str, version: str, body: bytes, header: str | None
    ) -> "tuple[Future[InferResponse], dict[str, bool]]":
        asked, raw = read_request(model, version, body, header)
        return self._gateway.submit(asked), raw

    async def _body(self, request: Request) -> bytes:
        """Raises RefusedError: it is too large."""
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > self._most_bytes:
                raise HTTPException(413, f"body: expected at most {self._most_bytes} bytes, found more")
            parts.append(part)
        return b"".join(parts)


async def _unless_gone(request: Request, future: "Future[InferResponse]") -> InferResponse | None:
    """What comes of ``future``; None: the caller went away, and if the work had not begun it will not."""
    answer = asyncio.wrap_future(future)
    gone = asyncio.ensure_future(_disconnected(request))
    either: set[asyncio.Future[Any]] = {answer, gone}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            return None
        if answer.cancelled():
            raise PeerUnavailableError("gateway: stopping")
        return answer.result()
    finally:
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _named(request: Request) -> tuple[str, str]:
    return request.path_params["model"], request.path_params.get("version", "")


def _guarded(handler: _Handler) -> _Handler:
    """Every error becomes a status and one line of JSON."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except HTTPException:
            raise
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:
            code, message = status_of(error)
            status = _CODES.get(code, 500)
            if status == 500:
                log_internal(error)
            headers = {"Retry-After": str(max(1, round(error.retry_s)))} if isinstance(error, BusyError) else None
            return JSONResponse({"error": message}, status, headers)

    return guarded


def log_internal(error: BaseException) -> None:
    """Where a bug is, without the error's text: that may hold what was sent."""
    _LOG.error("internal error, %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))


async def _http_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return JSONResponse({"error": "internal error"}, 500)
    said = "path: expected one of the Open Inference Protocol, found another" if error.status_code == 404 else ""
    return JSONResponse({"error": said or error.detail}, error.status_code, error.headers)
