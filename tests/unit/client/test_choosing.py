"""What a client brings to the choice of a backend: material of its own for this model, and a dealer that answers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scaled_artifact import relu_artifact
from streams import served

from pi_client.choosing import StoreChooser
from pi_system._proto.v1.control_pb2 import Description
from pi_system.channel.link import Link
from pi_system.cost import default_calibration
from pi_system.rpc.choosing import Offer
from pi_system.secure.index import Index

ARTIFACT = relu_artifact(1.0)
CLIENT = bytes(range(16))
SLOW = Link(1e8, 40e-3)
"""``gc`` is the least online of those without a dealer, ``fss`` of all."""
GONE = "127.0.0.1:1"


@pytest.fixture
def chooser(tmp_path: Path) -> StoreChooser:
    return StoreChooser(
        root=tmp_path,
        client_id=CLIENT,
        dealer=None,
        identity=None,
        timeout_s=0.2,
        objective="online",
        calibration=None,
        ahead=False,
    )


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., None]:
    """Has inferences prepared under a backend, for this model unless another is named."""

    def add(backend: str, reveal: str = "label", model: str = ARTIFACT.public.digest, client: bytes = CLIENT) -> None:
        index = Index(tmp_path / "client")
        index.add(f"{model[:32]}/{backend}-{reveal}/{client.hex()}", "00" * 16, 1)

    return add


class Measured:
    """Counts how often the link is measured."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> Link:
        self.count += 1
        return SLOW


def offer(*offered: str, measure: Callable[[], Link] = lambda: SLOW) -> Offer:
    return Offer(public=ARTIFACT, offered=offered or ("gmw", "gc", "fss"), reveal="label", measure=measure)


@pytest.fixture
def dealer() -> Any:
    described = Description(role="dealer", backends=["fss", "crypten"]).SerializeToString()
    with served({}, {"Describe": lambda _: described}) as address:
        yield address


def test_with_nothing_prepared_the_link_is_measured_and_the_fastest_chosen(chooser: StoreChooser) -> None:
    measure = Measured()
    found = chooser(offer(measure=measure))
    assert (found.backend, found.link, measure.count, set(found.dealt)) == ("gc", SLOW, 1, {"fss"})


def test_what_lies_prepared_for_this_model_and_result_is_used_without_a_probe(
    chooser: StoreChooser, prepared: Callable[..., None]
) -> None:
    prepared("gmw")
    measure = Measured()
    found = chooser(offer(measure=measure))
    assert (found.backend, found.line(), measure.count) == ("gmw", "gmw: 1 prepared", 0)


def test_who_prepares_more_of_it_is_told_of_what_is_faster(
    chooser: StoreChooser, prepared: Callable[..., None]
) -> None:
    prepared("gmw")
    found = replace(chooser, ahead=True)(offer())
    assert (found.backend, set(found.times)) == ("gmw", {"gmw", "gc"})


@pytest.mark.parametrize("other", [{"reveal": "logits"}, {"model": "ab" * 32}, {"client": bytes(16)}])
def test_what_lies_prepared_for_something_else_does_not_decide(
    chooser: StoreChooser, prepared: Callable[..., None], other: dict[str, Any]
) -> None:
    prepared("gmw", **other)
    found = chooser(offer())
    assert (found.backend, dict(found.prepared)) == ("gc", {})


def test_of_several_that_lie_prepared_the_fastest_is_used(chooser: StoreChooser, prepared: Callable[..., None]) -> None:
    prepared("gmw")
    prepared("gc")
    assert chooser(offer()).backend == "gc"
    assert chooser(offer("gmw", "fss")).backend == "gmw"  # the server allows the other no longer


def test_a_dealer_is_taken_where_it_is_named_and_answers(chooser: StoreChooser, dealer: str) -> None:
    named = replace(chooser, dealer=dealer)
    assert named(offer()).backend == "fss"
    assert named(offer("gmw", "gc")).backend == "gc"
    assert named(offer("fss")).backend == "fss"


def test_a_dealer_that_does_not_answer_or_deals_something_else_is_left(chooser: StoreChooser) -> None:
    found = replace(chooser, dealer=GONE)(offer())
    assert (found.backend, found.note) == ("gc", f"dealer {GONE} does not answer")
    other = Description(role="dealer", backends=["crypten"]).SerializeToString()
    with served({}, {"Describe": lambda _: other}) as address:
        assert replace(chooser, dealer=address)(offer()).backend == "gc"


def test_what_a_dealer_made_is_used_only_where_it_is_named_and_needs_it_no_more(
    chooser: StoreChooser, prepared: Callable[..., None]
) -> None:
    prepared("fss")
    alone = chooser(offer())
    assert alone.backend == "gc"
    assert "prepared besides: fss 1" in alone.line()
    assert replace(chooser, dealer=GONE)(offer()).backend == "fss"


def test_what_is_revealed_is_part_of_the_choice(chooser: StoreChooser) -> None:
    """Gates of a label are many and small: garbled they are bytes, otherwise rounds."""
    label, logits = (chooser(replace(offer(), reveal=reveal)).times["gc"].online_ms for reveal in ("label", "logits"))
    assert label > logits


def test_wish_and_prices_are_the_users(chooser: StoreChooser, tmp_path: Path) -> None:
    dear = default_calibration().prices | {"gc_wire": 1e9}
    prices = default_calibration().model_copy(update={"prices": dear})
    (tmp_path / "prices.json").write_text(prices.model_dump_json(by_alias=True))
    found = replace(chooser, objective="total", calibration=tmp_path / "prices.json")(offer())
    assert (found.backend, found.objective) == ("gmw", "total")
