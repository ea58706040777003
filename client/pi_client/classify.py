"""``pi-client infer``: files to predictions, in batches whose material fits into memory on both sides."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pi_client.connect import SessionOptions, open_session
from pi_client.preparation import Preparation
from pi_client.progress import Bars, Shows, Silent
from pi_client.result import InferResult, check_top_k
from pi_client.store import ClientStore
from pi_system.errors import BusyError, PiError
from pi_system.inputs import check_inputs, find_files, load_inputs
from pi_system.interrupts import interruptible
from pi_system.program.encoding import check_values
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.phase_cost import OnlineCost, PreparationCost, sum_costs
from pi_system.rpc.phase_profile import PhaseProfile

_OPENED: Final = 3
"""Sessions that are opened at most: the second has nothing to read, unless the model changed meanwhile."""
_SILENT: Final = Silent()
_BATCH: Final = 32
"""Inputs that are asked for at once, at most. More: who stops or loses the connection loses more that is spent. Fewer:
round trips are shared by fewer."""


class Classified(NamedTuple):
    """What a call has to show.

    Attributes:
        result: of the inputs that were answered, the first ones.
        profiles: of the last batch.
        stopped: why the others were not; None: there are none.
    """

    result: InferResult
    profiles: tuple[PhaseProfile, ...]
    stopped: BaseException | None


def classify(
    common: SessionOptions, store: ClientStore, paths: list[Path], *, profile: bool = False, top_k: int | None = None
) -> Classified:
    """Classify what is in files, folders and patterns of them.

    Raises:
        InputError: a file cannot be used; nothing was spent.
        RevealError, ConfigError: more than one class is asked for (``top_k``) than is revealed, or there are none.
        CorrelationError, ChannelError, ProtocolError: see ClientSession; of a later batch than the first, ``stopped``.
    """
    paths = find_files(paths)
    check_inputs(paths)  # before anybody is dialled
    answers, stopped = Answers(), None
    try:
        with interruptible(), ExitStack() as stack:
            session, (inputs, names) = _open_with_inputs(stack, common, store, paths, profile)
            choice = session.choice
            check_top_k(top_k, session.public.public, session.config)
            answer(stack, session, common, store, inputs, names, answers, profile=profile, shows=Bars())
    except (PiError, OSError, KeyboardInterrupt) as error:
        if not answers.outputs:
            raise
        stopped = error
    session, outputs = answers.session, np.concatenate(answers.outputs)
    result = InferResult(
        model=session.public.public,
        config=session.config,
        names=names[: len(outputs)],
        outputs=outputs,
        online=answers.online(),
        offline=answers.offline(store),
        prepared_now=bool(answers.prepared),
        request=session.request,
        choice=choice,
        top_k=top_k,
        asked=len(names),
    )
    return Classified(result, tuple(session.profiles.values()), stopped)


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


@dataclass(slots=True)
class Answers:
    """What a server has answered so far, by batches.

    Attributes:
        outputs: logits or scores (n, classes), or class indices (n, 1).
        costs: of the online phase.
        prepared: costs of the offline phases that were needed.
        session: that answered last; unset before the first batch.
    """

    outputs: list[NDArray[np.float64]] = field(default_factory=list)
    costs: list[OnlineCost] = field(default_factory=list)
    prepared: list[PreparationCost] = field(default_factory=list)
    session: ClientSession = field(init=False)

    def online(self) -> OnlineCost:
        """Cost of all batches together."""
        return sum_costs(self.costs)

    def offline(self, store: ClientStore) -> PreparationCost | None:
        """Cost of the offline phases of this call; of none, what is noted of the last one before."""
        return sum_costs(self.prepared) if self.prepared else store.noted_offline(self.session.config)


def answer(
    stack: ExitStack,
    session: ClientSession,
    common: SessionOptions,
    store: ClientStore,
    inputs: NDArray[np.float32],
    names: Sequence[str],
    answers: Answers,
    *,
    profile: bool = False,
    shows: Shows = _SILENT,
) -> None:
    """Have inputs (N, C, H, W) answered, in batches, with what is missing prepared before each; ``shows`` is told.

    Where it fails, ``answers`` has what was answered before: it is spent.

    Raises:
        InputError: naming an input whose values do not fit the ring; nothing was spent.
        LimitError: more than the server lets this client have today; nothing was spent.
        CorrelationError, ChannelError, ProtocolError: see ClientSession.
        KeyboardInterrupt: says how many inferences are left prepared.
    """
    check_values(inputs, names, session.public.public)
    session.check_left(len(inputs))
    size, asked = min(_BATCH, session.batch_limit), 0
    try:
        for start in range(0, len(inputs), size):
            batch, asked = inputs[start : start + size], 0
            session, cost = prepare_missing(stack, session, common, store, len(batch), profile=profile, shows=shows)
            answers.prepared += [] if cost is None else [cost]
            asked = session.available()
            with shows.answering(start, len(inputs)):
                output, spent = session.infer(batch)
            answers.outputs.append(output)
            answers.costs.append(spent)
            answers.session = session
    except KeyboardInterrupt:
        ready = session.available()
        lost = f", {asked - ready} spent without an answer" if ready < asked else ""
        raise KeyboardInterrupt(f"stopped with {ready} ready{lost}") from None


def prepare_missing(
    stack: ExitStack,
    session: ClientSession,
    common: SessionOptions,
    store: ClientStore,
    goal: int,
    *,
    profile: bool = False,
    shows: Shows = _SILENT,
) -> tuple[ClientSession, PreparationCost | None]:
    """Prepare what is missing to ``goal`` inferences.

    A server that has no place for an offline phase ends the session: then one is opened that waits for such a place.

    Returns:
        The session that is open, in ``stack``, and what it cost; None: nothing was missing.
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
        return session, cost
    return session, None
