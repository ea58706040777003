"""Answers the calls of the Open Inference Protocol, whichever way they come, by a client of the private server."""

import logging
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pi_client.gateway.known import FRESH_S, Known, Private, same
from pi_client.gateway.messages import InferRequest, InferResponse, ModelMetadata
from pi_client.gateway.model import check_outputs, metadata_of, outputs_of, read_inputs, version_of
from pi_client.gateway.request_queue import RequestQueue
from pi_system.api.client import Served
from pi_system.errors import PeerUnavailableError, PiError
from pi_system.rpc.calls import RefusedError

_LOG = logging.getLogger(__name__)
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Gateway:
    """One model of one private server; calls may come from any thread."""

    def __init__(
        self,
        private: Private,
        check: Callable[[], object],
        *,
        name: str = "",
        waiting: int = 16,
        after: Callable[[], None] = lambda: None,
    ):
        """Nothing is asked yet.

        Args:
            private: the client.
            check: asks the private server whether it is there; raises PiError if not.
            name: of the model; empty: its own, with ``-`` for what paths of URLs do not have.
            waiting: requests that may wait while one is answered.
            after: called after an inference.
        """
        self._private, self._check, self._name, self._after = private, check, name, after
        self.queue = RequestQueue(waiting)
        self._known = Known(private, self.queue)
        self._decoding, self._asking = threading.Lock(), threading.Lock()
        self._checked_s, self._well, self._stopping = -np.inf, False, False

    def ready(self) -> bool:
        """Whether the private server answers, and this is not stopping."""
        with self._asking:
            if time.monotonic() - self._checked_s > FRESH_S:
                try:
                    self._check()
                    self._well = True
                except PiError as error:
                    _LOG.debug("not ready: %s", error)
                    self._well = False
                self._checked_s = time.monotonic()
        return self._well and not self._stopping

    def model_ready(self, name: str, version: str) -> bool:
        """The same, of this model. Raises RefusedError: there is no such model; PiError: it is not known yet."""
        if not self.ready():
            return False
        self.metadata(name, version)
        return True

    def metadata(self, name: str, version: str) -> ModelMetadata:
        """Of the model. Raises as ``model_ready``."""

        def told(served: Served) -> ModelMetadata:
            self._check_named(served, name, version)
            return self._metadata(served)

        return self._known.use(told)

    def submit(self, request: InferRequest) -> "Future[InferResponse]":
        """The response to come.

        Raises:
            RefusedError: there is no such model.
            InputError: its tensors cannot be used.
            BusyError: too many wait.
            PiError: the private server cannot be asked what it has.
        """
        served, inputs = self._known.use(lambda served: (served, self._checked(request, served)))
        return self.queue.submit(lambda: self._answer(request, served, inputs))

    def ask(self) -> "Future[tuple[ModelMetadata, Served]]":
        """The metadata to come, whatever the model is called, and what they are of."""

        def asked() -> tuple[ModelMetadata, Served]:
            served = self._known.ask()
            return self._metadata(served), served

        return self.queue.submit(asked)

    def stop(self) -> None:
        """Take no more requests, and be ready for none."""
        self._stopping = True
        self.queue.refuse()

    def _own(self, served: Served) -> str:
        return self._name or _UNFIT.sub("-", served.model.name).strip("-")

    def _metadata(self, served: Served) -> ModelMetadata:
        return metadata_of(self._own(served), served)

    def _check_named(self, served: Served, name: str, version: str) -> None:
        """Raise RefusedError unless that is meant."""
        own = self._own(served)
        if name != own:
            raise RefusedError("NOT_FOUND", f"model: expected {own!r}, found {name[:64]!r}")
        if version not in ("", version_of(served)):
            raise RefusedError("NOT_FOUND", f"version: expected {version_of(served)!r}, found {version[:64]!r}")

    def _checked(self, request: InferRequest, served: Served) -> NDArray[np.float32]:
        """The inputs. Raises RefusedError or InputError: this is not what it means."""
        self._check_named(served, request.model, request.version)
        check_outputs(request.outputs, served)
        with self._decoding:  # see decode_picture
            return read_inputs(request.inputs, served.model.preprocess)

    def _answer(self, request: InferRequest, served: Served, inputs: NDArray[np.float32]) -> InferResponse:
        found = self._known.ask()
        if not same(found, served):
            inputs = self._checked(request, found)
        result = self._private.predict(inputs)
        if result.model.digest != found.model.digest:
            self._known.forget()
            raise PeerUnavailableError("model: changed while it was asked: ask again")
        self._after()
        _LOG.info("answered %d inputs, online %.1f ms", len(result), result.cost.online_ms if result.cost else 0.0)
        return InferResponse(
            model=request.model, version=version_of(found), outputs=outputs_of(result, request), id=request.id
        )
