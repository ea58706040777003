"""``pi-client infer``: files to predictions, in batches whose material fits into memory on both sides."""

from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pi_client.connect import SessionOptions, open_session
from pi_client.preparation import Preparation
from pi_client.progress import Bars, Shows, Silent
from pi_client.result import InferResult, check_top_k
from pi_client.store import ClientStore
from pi_system.errors import BusyError
from pi_system.inputs import check_inputs, find_files, load_inputs
from pi_system.interrupts import interruptible
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.phase_cost import OnlineCost
from pi_system.rpc.phase_profile import PhaseProfile

_OPENED: Final = 3
"""Sessions that are opened at most: the second has nothing to read, unless the model changed meanwhile."""
_SILENT: Final = Silent()


def classify(
    common: SessionOptions, store: ClientStore, paths: list[Path], *, profile: bool = False, top_k: int | None = None
) -> tuple[InferResult, tuple[PhaseProfile, ...]]:
    """Classify what is in files, folders and patterns of them, with the profiles of the last batch.

    Raises:
        InputError: a file cannot be used; nothing was spent.
        RevealError, ConfigError: more than one class is asked for (``top_k``) than is revealed, or there are none.
        CorrelationError, ChannelError, ProtocolError: see ClientSession.
    """
    paths = find_files(paths)
    check_inputs(paths)  # before anybody is dialled
    with interruptible(), ExitStack() as stack:
        session, (inputs, names) = _open_with_inputs(stack, common, store, paths, profile)
        choice = session.choice
        check_top_k(top_k, session.public.public, session.config)
        answered = answer(stack, session, common, store, inputs, profile=profile, shows=Bars())
        session = answered.session
        result = InferResult(
            model=session.public.public,
            config=session.config,
            names=names,
            outputs=answered.outputs,
            online=answered.online,
            offline=store.noted_offline(session.config),
            prepared_now=answered.prepared_now,
            request=session.request,
            choice=choice,
            top_k=top_k,
        )
        return result, tuple(session.profiles.values())


def _open_with_inputs(
    stack: ExitStack, common: SessionOptions, store: ClientStore, paths: list[Path], profile: bool
) -> tuple[ClientSession, tuple[NDArray[np.float32], tuple[str, ...]]]:
    """An open session, and the files as its model takes them.

    Reading many files takes a while, in which a server whose places others wait for gives this one's away.
    """
    read: dict[str, tuple[NDArray[np.float32], tuple[str, ...]]] = {}
    for _ in range(_OPENED):
        session = stack.enter_context(open_session(common, store, profile=profile))
        public = session.public.public
        if public.digest not in read:
            read[public.digest] = load_inputs(paths, public.preprocess)
        if session.alive:
            break
    return session, read[public.digest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a server answered to all inputs of a call.

    Attributes:
        session: that answered last; it is open.
        outputs: logits or scores (N, classes), or class indices (N, 1).
        online: cost of all batches.
        prepared_now: an offline phase was needed.
    """

    session: ClientSession
    outputs: NDArray[np.float64]
    online: OnlineCost
    prepared_now: bool


def answer(
    stack: ExitStack,
    session: ClientSession,
    common: SessionOptions,
    store: ClientStore,
    inputs: NDArray[np.float32],
    *,
    profile: bool = False,
    shows: Shows = _SILENT,
) -> Answered:
    """Have inputs (N, C, H, W) answered, in batches, with what is missing prepared before each; ``shows`` is told.

    Raises:
        LimitError: more than the server lets this client have today; nothing was spent.
        CorrelationError, ChannelError, ProtocolError: see ClientSession.
    """
    session.check_left(len(inputs))
    size, outputs, costs, prepared_now = session.batch_limit, [], [], False
    for start in range(0, len(inputs), size):
        batch = inputs[start : start + size]
        session, prepared = prepare_missing(stack, session, common, store, len(batch), profile=profile, shows=shows)
        with shows.answering(start, len(inputs)):
            output, cost = session.infer(batch)
        outputs.append(output)
        costs.append(cost)
        prepared_now = prepared_now or prepared > 0
    total = {field.name: sum(getattr(cost, field.name) for cost in costs) for field in fields(OnlineCost)}
    return Answered(
        session=session, outputs=np.concatenate(outputs), online=OnlineCost(**total), prepared_now=prepared_now
    )


def prepare_missing(
    stack: ExitStack,
    session: ClientSession,
    common: SessionOptions,
    store: ClientStore,
    goal: int,
    *,
    profile: bool = False,
    shows: Shows = _SILENT,
) -> tuple[ClientSession, int]:
    """Prepare what is missing to ``goal`` inferences.

    A server that has no place for an offline phase ends the session: then one is opened that waits for such a place.

    Returns:
        The session that is open, in ``stack``, and how many were prepared.
    """
    while (missing := goal - session.available()) > 0:
        try:
            with shows.preparing(partial(Preparation.of, session, missing, goal)):
                cost = session.prepare(missing)
        except BusyError as busy:
            same = replace(common, backend=session.config.backend)  # ``auto`` was decided
            again = open_session(same, store, profile=profile, prepares=True, ticket=busy.ticket)
            session = stack.enter_context(again)
            continue
        store.note_offline(session.config, cost)
        return session, missing
    return session, 0
