"""The page's server: files, and what the page asks for as JSON; every error is one line, ``{"error": ...}``."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.resources import files
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pi_system.artifact.store import load_public
from pi_system.demo.runs import SWITCHES, Choice, Run, Runs
from pi_system.demo.samples import SAMPLES, sample_png
from pi_system.demo.variants import NETWORKS
from pi_system.errors import InputError, LimitError, PiError
from pi_system.networks import artifact_folder, read_card

STATIC: Final = files("pi_system.demo") / "static"
MAX_PICTURE_BYTES: Final = 16 << 20
"""Larger: a page left open fills memory. Smaller: photographs are refused."""
_POLL_S: Final = 0.03


def make_app(runs: Runs) -> Starlette:
    """The page on ``runs``."""

    async def page(request: Request) -> Response:
        return FileResponse(str(STATIC / "index.html"))

    async def about(request: Request) -> Response:
        return JSONResponse(_about())

    async def sample(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in SAMPLES:
            raise InputError(f"sample: expected one of {', '.join(SAMPLES)}; found {name!r:.40}")
        return Response(sample_png(name), media_type="image/png")

    async def start(request: Request) -> Response:
        choice = Choice.of(dict(request.query_params))
        run = runs.start(await _body(request), choice)
        return JSONResponse({"run": run.number}, 201)

    async def events(request: Request) -> Response:
        run = runs.find(_number(request))
        return StreamingResponse(_stream(run), media_type="text/event-stream")

    async def picture(request: Request) -> Response:
        return JSONResponse(runs.view(_number(request)).picture())

    async def layers(request: Request) -> Response:
        return JSONResponse({"layers": runs.view(_number(request)).layers()})

    async def layer(request: Request) -> Response:
        view = runs.view(_number(request))
        return JSONResponse(view.layer(request.path_params["name"]))

    def route(path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str = "GET") -> Route:
        return Route(path, endpoint, methods=[method])

    routes = [
        route("/", page),
        route("/api/about", about),
        route("/api/samples/{name}", sample),
        route("/api/runs", start, "POST"),
        route("/api/runs/{number}/events", events),
        route("/api/runs/{number}/picture", picture),
        route("/api/runs/{number}/layers", layers),
        route("/api/runs/{number}/layers/{name}", layer),
        Mount("/static", StaticFiles(directory=str(STATIC))),
    ]
    handlers = {PiError: _refused, HTTPException: _refused, ClientDisconnect: _gone}
    return Starlette(routes=routes, exception_handlers=handlers)


def _about() -> dict[str, Any]:
    """What the page fills its switches with."""
    card, half = (read_card(name) for name in (NETWORKS["full"], NETWORKS["half"]))
    network = {"accuracy": card.test_accuracy, "half": half.test_accuracy, "relus_before": card.relus_before}
    classes = load_public(artifact_folder(NETWORKS["full"])).public.preprocess.classes
    return {"switches": SWITCHES, "samples": list(SAMPLES), "network": network, "classes": classes}


def _number(request: Request) -> int:
    """Of an inference. Raises HTTPException: what stands there is none."""
    text = str(request.path_params["number"])
    if not re.fullmatch("[0-9]{1,18}", text):
        raise HTTPException(404)
    return int(text)


async def _body(request: Request) -> bytes:
    """Raises InputError: there is none, or too much of it."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_PICTURE_BYTES:
            raise InputError(f"picture: expected at most {MAX_PICTURE_BYTES:,} bytes, found more")
    if not body:
        raise InputError("picture: expected a file, found no bytes")
    return bytes(body)


async def _stream(run: Run) -> AsyncIterator[str]:
    """Server-sent events, the past ones first."""
    told = 0
    while True:
        for event in run.events[told:]:
            told += 1
            yield f"data: {json.dumps(event)}\n\n"
        if run.ended and told == len(run.events):
            return
        await asyncio.sleep(_POLL_S)


async def _gone(request: Request, error: Exception) -> Response:
    """A page that was closed while it sent a picture is nobody's error."""
    return Response(status_code=499)


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 409 if isinstance(error, LimitError) else 400
    text = str(error.detail) if isinstance(error, HTTPException) else str(error)
    return JSONResponse({"error": " ".join(text.split())}, status)
