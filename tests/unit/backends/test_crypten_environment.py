from collections.abc import Iterator

import pytest
import torch

from pi_system.backends.crypten.communicator import DryRunCommunicator
from pi_system.backends.crypten.environment import (
    SessionStreams,
    claim_process,
    crypten_session,
    release_process,
)
from pi_system.backends.crypten.library import crypten
from pi_system.backends.crypten.stream import RingStream
from pi_system.errors import InvariantError, LocalProtocolError
from pi_system.ring.prg import Prg

SEEDS = (bytes(range(16)), bytes(range(16, 32)))


def streams_of(rank: int) -> SessionStreams:
    """Both parties' shared streams, crossed; local ones differ."""
    theirs, mine = SEEDS[1 - rank], SEEDS[rank]
    return SessionStreams(*(RingStream(Prg(seed)) for seed in (theirs, mine, bytes([rank]) * 16)))


@pytest.fixture
def session() -> Iterator[None]:
    with crypten_session(DryRunCommunicator(0), None, streams_of(0)):
        yield


def _zero_sharing(rank: int, kind: str) -> torch.Tensor:
    primitives = crypten.mpc.primitives
    shared = primitives.ArithmeticSharedTensor if kind == "arithmetic" else primitives.BinarySharedTensor
    with crypten_session(DryRunCommunicator(rank), None, streams_of(rank)):
        share: torch.Tensor = shared.PRZS(torch.Size((3, 50))).share
        return share


@pytest.mark.parametrize("kind", ["arithmetic", "binary"])
def test_the_parties_zero_sharings_cancel(kind: str) -> None:
    server, client = _zero_sharing(0, kind), _zero_sharing(1, kind)
    zero = server + client if kind == "arithmetic" else server ^ client
    assert not zero.any()
    assert len(server.unique()) == server.numel()  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("session")
def test_local_draws_come_from_the_local_stream() -> None:
    expected = RingStream(Prg(bytes(16))).tensor((5,))
    assert torch.equal(crypten.common.rng.generate_random_ring_element((5,)), expected)
    bits = crypten.common.rng.generate_kbit_random_tensor((300,), bitlength=1)
    assert set(bits.tolist()) == {0, 1}


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("name", ["generate_random_ring_element", "generate_kbit_random_tensor"])
def test_a_generator_of_torch_is_refused(name: str) -> None:
    with pytest.raises(InvariantError):
        getattr(crypten.common.rng, name)((5,), generator=torch.Generator())


def test_outside_a_session_crypten_can_do_nothing() -> None:
    with pytest.raises(InvariantError):
        crypten.common.rng.generate_random_ring_element((5,))
    with pytest.raises(LocalProtocolError):
        crypten.mpc.get_default_provider()
    assert not crypten.is_initialized()


@pytest.mark.usefixtures("session")
def test_sessions_exclude_each_other() -> None:
    with pytest.raises(LocalProtocolError), crypten_session(DryRunCommunicator(0), None, streams_of(0)):
        pass


def test_an_error_ends_the_session() -> None:
    with pytest.raises(ZeroDivisionError), crypten_session(DryRunCommunicator(0), None, streams_of(0)):
        raise ZeroDivisionError
    assert not crypten.is_initialized()


def test_a_process_is_claimed_once() -> None:
    claim_process()
    try:
        with pytest.raises(LocalProtocolError):
            claim_process()
    finally:
        release_process()
