"""A client of a running server: prepares ahead, asks for predictions; the inputs never leave it in the clear."""

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from types import TracebackType

import numpy as np

from pi_client.classify import Answers, answer, prepare_missing
from pi_client.connect import SessionOptions, open_session
from pi_client.store import ClientStore
from pi_system.api.guard import path, seconds, typed
from pi_system.api.inputs import Inputs, check_files, read_inputs
from pi_system.api.result import Cost, Result
from pi_system.artifact.model import PublicModel
from pi_system.backends.registry import AUTO, keeps_material
from pi_system.cost import OBJECTIVES, Objective
from pi_system.errors import BusyError, ConfigError, InputError, LocalProtocolError
from pi_system.networks import BUILTIN_PREFIX, artifact_folder
from pi_system.program.reveal import Reveal
from pi_system.rpc.choosing import Explained
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.phase_cost import OnlineCost, PreparationCost

__all__ = ["Client", "Served"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a session is about.

    Attributes:
        model: public part of the network.
        reveal: what is opened: label, scores or logits.
        backend: that was agreed on.
        choice: what was predicted where ``auto`` was asked for; None: the backend was named.
    """

    model: PublicModel
    reveal: Reveal
    backend: str
    choice: Explained | None = None


class Client:
    """A context manager. Calls may come from several threads; those of one client run one after another.

    A session is opened by the first call and held until the block ends, or the server needs its place; the next call
    opens another. Nothing is asked a second time by itself: material of an inference that failed is spent.

    A copy by pickle has the same settings and no session. A process that was forked makes a client of its own.
    """

    def __init__(
        self,
        server: str = "127.0.0.1:7100",
        *,
        keys: str | PathLike[str] | None = None,
        insecure: bool = False,
        backend: str = AUTO,
        reveal: Reveal | None = None,
        dealer: str | None = None,
        artifact: str | PathLike[str] | None = None,
        digest: str = "",
        store: str | PathLike[str] | None = None,
        timeout_s: float = 120.0,
        connect_timeout_s: float = 10.0,
        objective: Objective = "online",
        calibration: str | PathLike[str] | None = None,
    ):
        """Nothing is connected to yet.

        Args:
            server: HOST:PORT.
            keys: this client's folder of those that ``pi.make_keys`` makes.
            insecure: plaintext, on this machine only; in the place of ``keys``.
            backend: gmw, gc, table, fss or crypten; auto: the fastest over this link as predicted, of those that model
                and server allow, with a dealer only where one is named; what lies prepared in the store comes first.
            reveal: learn no more than this; None: what the server reveals.
            dealer: HOST:PORT of one that both trust; None: none for ``auto``, one on this machine for a named backend.
            artifact: own copy of the public part, or ``builtin:NAME``; None: the server sends it.
            digest: accept only a model whose digest starts so.
            store: private folder of material; None: the user's.
            timeout_s: a silent peer or a busy server is waited for.
            connect_timeout_s: a server is tried.
            objective: what ``auto`` makes least: the online time, or with "total" that of both phases.
            calibration: file of prices for ``auto``; None: those that ship.

        Raises:
            ConfigError: a backend that is none, an objective or a time.
            InputError: the store cannot be made, or something is no path.
        """
        if objective not in OBJECTIVES:
            raise ConfigError(f"objective: expected one of {', '.join(OBJECTIVES)}, found {objective!r:.40}")
        options = SessionOptions(
            server=str(server),
            dealer=None if dealer is None else str(dealer),
            backend=backend,
            reveal=reveal,
            artifact=_artifact(artifact),
            digest=str(digest),
            store=None if store is None else path("store", store),
            timeout=seconds("timeout_s", timeout_s),
            connect_timeout=seconds("connect_timeout_s", connect_timeout_s),
            insecure_provider=False,
            keys=None if keys is None else path("keys", keys),
            insecure=insecure,
            objective=objective,
            calibration=None if calibration is None else path("calibration", calibration),
        )
        self.__setstate__(options)

    def __getstate__(self) -> SessionOptions:
        """For pickle: the settings."""
        return self._options

    def __setstate__(self, options: SessionOptions) -> None:
        """A client of these settings, without a session."""
        self._options, self._durable = options, keeps_material(options.backend)
        with typed():
            self._store = ClientStore(options.store)
        self._lock, self._stack = threading.Lock(), ExitStack()
        self._process, self._closed = os.getpid(), False
        self._open: ClientSession | None = None
        self._choice: Explained | None = None

    def __enter__(self) -> "Client":
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End the session, if one is open, for good; safe to call twice. A call at work is waited for."""
        if os.getpid() != self._process:
            return  # forked: the session is that of the process which opened it
        with self._lock, typed():
            self._closed = True
            self._end()

    def prepare(self, count: int) -> int:
        """Offline phase for what is missing to ``count`` inferences.

        Returns:
            How many are ready.

        Raises:
            ConfigError: the backend keeps no material, or the server does not offer this configuration.
            InputError: no such number.
            ChannelError, CorrelationError: see ``pi_system.errors``; what was finished is kept.
        """
        if not self._durable:
            raise ConfigError(f"prepare: backend {self._options.backend} keeps no material, predict prepares it")
        if not isinstance(count, int) or not 1 <= count <= 1 << 16:
            raise InputError(f"prepare: expected 1 to {1 << 16} inferences, found {count}")
        with self._call():
            session = self._session(prepares=True)
            session, _ = prepare_missing(self._stack, session, self._options, self._store, count)
            self._open = session
            return session.available()

    def available(self) -> int:
        """Inferences that are ready for the model that the server has now. Errors as ``predict``."""
        with self._call():
            return self._session().available()

    def served(self) -> Served:
        """What the server has now, as the open session knows it. Errors as ``predict``."""
        with self._call():
            session = self._session()
            config = session.config
            return Served(
                model=session.public.public, reveal=config.revealed, backend=config.backend, choice=self._choice
            )

    def predict(self, inputs: Inputs) -> Result:
        """Answers to inputs; prepares first where too little is left.

        Of inputs that take several batches an error leaves no answers, and those before it are spent: ask for parts.

        Args:
            inputs: files, folders or patterns (PNG, JPEG, TIFF, DICOM, .npy, .csv), or an array or tensor as the
                network takes it.

        Raises:
            InputError: the inputs cannot be used; nothing was spent, and for a file that cannot be read nobody dialled.
            ArtifactDigestError: the server has another model.
            ConfigError: it does not offer this configuration.
            ChannelError, CorrelationError, ProtocolError: see ``pi_system.errors``.
            LocalProtocolError: the client was closed, or this process was forked from the one that made it.
        """
        with self._call():
            if self._open is None or not self._open.alive:
                check_files(inputs)
            session = self._session()
            public = session.public.public
            arrays, names = read_inputs(inputs, public.preprocess)
            answers = Answers()
            answer(self._stack, session, self._options, self._store, arrays, names, answers)
            self._open = session = answers.session
            return Result(
                model=public,
                reveal=session.config.revealed,
                outputs=np.concatenate(answers.outputs),
                names=names,
                cost=_cost(answers.online(), answers.offline(self._store), bool(answers.prepared)),
            )

    async def apredict(self, inputs: Inputs) -> Result:
        """``predict`` in a thread, for an event loop that has other work meanwhile."""
        return await asyncio.to_thread(self.predict, inputs)

    @contextmanager
    def _call(self) -> Iterator[None]:
        """One call at a time, of this process, until the client is closed."""
        if os.getpid() != self._process:
            raise LocalProtocolError(
                "client: expected calls of the process that made it, found one forked from it: spawn processes"
            )
        with self._lock, typed():
            if self._closed:
                raise LocalProtocolError("client: expected an open one, found that it was closed")
            yield

    def _session(self, *, prepares: bool = False) -> ClientSession:
        """The open one, or a new one where there is none or the server has ended it."""
        if self._open is None or not self._open.alive:
            self._end()
            opened = open_session(self._options, self._store, prepares=prepares, on_busy=_log_busy)
            self._open = self._stack.enter_context(opened)
            self._choice = opened.choice
            if opened.choice is not None:
                _LOG.info("backend %s", opened.choice.line())
        return self._open

    def _end(self) -> None:
        self._stack.close()
        self._stack, self._open = ExitStack(), None


def _artifact(given: str | PathLike[str] | None) -> Path | None:
    """Its folder, if one was given."""
    folder = None if given is None else path("artifact", given)
    return artifact_folder(str(folder)) if str(folder).startswith(BUILTIN_PREFIX) else folder


def _log_busy(busy: BusyError) -> None:
    _LOG.info("%s; asking again in %.1f s", busy, busy.retry_s)


def _cost(online: OnlineCost, offline: PreparationCost | None, prepared_now: bool) -> Cost:
    cost = Cost(
        online_ms=online.online_ms,
        online_rounds=online.rounds,
        online_bytes=online.client_to_server_bytes + online.server_to_client_bytes,
        prepared_now=prepared_now,
    )
    if offline is None:
        return cost
    return replace(
        cost,
        offline_ms=offline.offline_ms,
        offline_bytes=offline.offline_bytes,
        offline_count=offline.count,
    )
