import pytest

from pi_system.backends.crypten.dealer import deal
from pi_system.backends.crypten.plan import BinaryTriple, CorrelationPlan, encode_plan
from pi_system.backends.crypten.store import CorrelationStore
from pi_system.channel.memory import memory_pair
from pi_system.errors import CorrelationExhaustedError, CorrelationMismatchError, CorrelationReusedError

PLAN = CorrelationPlan(items=(BinaryTriple(shape=(5,)),))


@pytest.fixture
def store() -> CorrelationStore:
    """A server's store with two inferences, from two dealings."""
    store = CorrelationStore(PLAN, is_server=True)
    for _ in range(2):
        (near, far), (client, _) = memory_pair(), memory_pair()
        deal(encode_plan(PLAN), 1, far, client)
        store.receive(1, near)
    return store


def test_ids_go_on_over_several_dealings(store: CorrelationStore) -> None:
    assert store.available() == 2
    assert store.next_ids(2) == ("0", "1")


def test_taking_twice_is_refused(store: CorrelationStore) -> None:
    store.take(("0",))
    with pytest.raises(CorrelationReusedError):
        store.take(("0",))
    with pytest.raises(CorrelationReusedError):
        store.take(("1", "1"))


def test_a_refused_request_takes_nothing(store: CorrelationStore) -> None:
    with pytest.raises(CorrelationMismatchError):
        store.take(("0", "7"))
    assert store.available() == 2


@pytest.mark.parametrize("name", ["2", "-1", "", "x", "\u0661"])
def test_unknown_ids_are_refused(store: CorrelationStore, name: str) -> None:
    with pytest.raises(CorrelationMismatchError):
        store.take((name,))


def test_material_is_used_once_and_only_when_taken(store: CorrelationStore) -> None:
    with pytest.raises(CorrelationReusedError):
        store.use("0")
    store.take(("0",))
    assert len(store.use("0")) == 1
    with pytest.raises(CorrelationReusedError):
        store.use("0")


def test_an_empty_store_says_so(store: CorrelationStore) -> None:
    store.take(store.next_ids(2))
    assert store.available() == 0
    with pytest.raises(CorrelationExhaustedError):
        store.next_ids(1)
