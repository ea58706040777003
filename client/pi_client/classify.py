"""``pi-client infer``: files to predictions, in batches whose material fits into memory on both sides."""

from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

import numpy as np

from pi_client.connect import SessionOptions, open_session
from pi_client.result import Result
from pi_client.store import ClientStore
from pi_system.errors import BusyError
from pi_system.inputs import load_inputs
from pi_system.rpc.client_session import ClientSession, OnlineCost
from pi_system.rpc.phase_profile import PhaseProfile


def classify(
    common: SessionOptions, store: ClientStore, paths: list[Path], *, profile: bool = False
) -> tuple[Result, tuple[PhaseProfile, ...]]:
    """Classify what is in files, with the profiles of the last batch.

    Raises:
        InputError: a file cannot be used; nothing was spent.
        CorrelationError, ChannelError, ProtocolError: see ClientSession.
    """
    with ExitStack() as stack:
        session = stack.enter_context(open_session(common, store, profile=profile))
        (inputs, names), size = load_inputs(paths, session.public.public.preprocess), session.batch_limit
        answers, prepared_now = [], False
        for start in range(0, len(inputs), size):
            batch = inputs[start : start + size]
            session, prepared = prepare_missing(stack, session, common, store, len(batch), profile=profile)
            answers.append(session.infer(batch))
            prepared_now = prepared_now or prepared > 0
        result = Result(
            model=session.public.public,
            config=session.config,
            names=names,
            outputs=np.concatenate([outputs for outputs, _ in answers]),
            online=_sum([cost for _, cost in answers]),
            offline=store.noted_offline(session.config),
            prepared_now=prepared_now,
            request=session.request,
        )
        return result, tuple(session.profiles.values())


def _sum(costs: list[OnlineCost]) -> OnlineCost:
    return OnlineCost(**{field.name: sum(getattr(cost, field.name) for cost in costs) for field in fields(OnlineCost)})


def prepare_missing(
    stack: ExitStack,
    session: ClientSession,
    common: SessionOptions,
    store: ClientStore,
    goal: int,
    *,
    profile: bool = False,
) -> tuple[ClientSession, int]:
    """Prepare what is missing to ``goal`` inferences.

    A server that has no place for an offline phase ends the session: then one is opened that waits for such a place.

    Returns:
        The session that is open, in ``stack``, and how many were prepared.
    """
    while (missing := goal - session.available()) > 0:
        try:
            cost = session.prepare(missing)
        except BusyError as busy:
            again = open_session(common, store, profile=profile, prepares=True, ticket=busy.ticket)
            session = stack.enter_context(again)
            continue
        store.note_offline(session.config, cost)
        return session, missing
    return session, 0
