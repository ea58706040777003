"""A gateway before a private server that is an object here, and requests as the specification writes them."""

import base64
import io
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient
from tiny_artifact import PREPROCESS, tiny_artifact

from pi_client.gateway.gateway import Gateway
from pi_client.gateway.rest import make_app
from pi_system.api.client import Served
from pi_system.api.result import Result
from pi_system.artifact import PublicModel
from pi_system.errors import PeerUnavailableError
from pi_system.program.reveal import Reveal

NAME = "tiny"
VERSION = tiny_artifact().public.digest[:16]
INFER = f"/v2/models/{NAME}/infer"


class FakePrivate:
    """Answers with sums of what it gets: logits (s, -s), so a dark picture is "yes". ``go`` holds answers back."""

    def __init__(self, reveal: Reveal = "logits", classes: tuple[str, ...] = PREPROCESS.classes) -> None:
        self.model = with_preprocess(tiny_artifact().public, classes=classes)
        self.reveal: Reveal = reveal
        self.seen: list[NDArray[np.float32]] = []
        self.go, self.at_work = threading.Event(), threading.Event()
        self.go.set()
        self.fault: Exception | None = None

    def served(self) -> Served:
        return Served(model=self.model, reveal=self.reveal, backend="gmw")

    def predict(self, inputs: NDArray[np.float32]) -> Result:
        self.at_work.set()
        assert self.go.wait(20)
        if self.fault is not None:
            raise self.fault
        self.seen.append(inputs)
        sums = inputs.reshape(len(inputs), -1).sum(1).astype(np.float64)
        outputs = np.stack([sums, -sums], 1)[:, : len(self.model.preprocess.classes)]
        if self.reveal == "label":
            outputs = outputs.argmax(1)[:, None].astype(np.float64)
        return Result(model=self.model, reveal=self.reveal, outputs=outputs, names=tuple(map(str, range(len(sums)))))


def with_preprocess(model: PublicModel, **changes: Any) -> PublicModel:
    """Another model, with a digest of its own."""
    content = model.model_dump()
    content["preprocess"] |= changes
    return PublicModel.model_validate(content)


def gateway_of(private: FakePrivate, **settings: Any) -> Gateway:
    return Gateway(private, settings.pop("check", lambda: None), **settings)


def rest_of(gateway: Gateway, most_bytes: int = 1_000_000) -> TestClient:
    app = make_app(gateway, most_bytes=most_bytes, hosts=("127.0.0.1", "localhost", "[::1]"))
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=True)


def wait_until(holds: Callable[[], bool]) -> None:
    """Until it does, or this fails."""
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def down() -> None:
    raise PeerUnavailableError("server 127.0.0.1:7100: nothing answered")


def png(value: int, size: tuple[int, int] = (9, 7)) -> bytes:
    """A grey picture, of another size than the network's."""
    file = io.BytesIO()
    Image.new("L", size, value).save(file, "PNG")
    return file.getvalue()


def picture_request(*values: int) -> dict[str, Any]:
    """Pictures as JSON has them."""
    data = [base64.b64encode(png(value)).decode() for value in values]
    return {"inputs": [{"name": "picture", "datatype": "BYTES", "shape": [len(values)], "data": data}]}


def pixels_request(pixels: Any, **more: Any) -> dict[str, Any]:
    """Pixels (N, 1, 2, 2), nested."""
    data = np.asarray(pixels).tolist()
    one = {"name": "pixels", "datatype": "UINT8", "shape": list(np.shape(pixels)), "data": data}
    return {"inputs": [one], **more}
