"""What ``auto`` stands for: the least predicted time of what model, server and trust allow, and what is said of it."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from changed_artifact import with_compare_bits
from scaled_artifact import relu_artifact
from tiny_artifact import narrow_artifact

from pi_system.backends.registry import AUTO, AUTO_BACKENDS, AUTO_DEALT, BACKENDS
from pi_system.backends.two_party.gates import TWO_PARTY_GATES
from pi_system.channel.link import LINKS, Link
from pi_system.cost import calibration_or_default, choose, default_calibration, load_calibration, predict, resolve
from pi_system.cost.choice import candidates
from pi_system.errors import ConfigError

ARTIFACT = relu_artifact(weight_scale=1.0)
"""512 ReLUs in two layers, k = 24, l = 32."""
FEW = with_compare_bits(ARTIFACT, 8)
SLOW, NARROW = Link(1e8, 40e-3), Link(1e6, 1e-3)
"""A round trip costs more than bytes; and the other way round."""
PRICES = default_calibration()


def times(public: Any, link: Link, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: predict(public, name, link, PRICES) for name in names}


def test_few_relus_on_a_slow_round_trip_are_garbled_and_many_bytes_are_not() -> None:
    assert choose(ARTIFACT, SLOW).backend == "gc"
    assert choose(ARTIFACT, NARROW).backend == "gmw"


def test_with_few_bits_the_table_has_one_round_trip_and_few_bytes() -> None:
    assert choose(FEW, Link(1e6, 40e-3)).backend == "table"


@pytest.mark.parametrize("link", [*LINKS.values(), SLOW, NARROW, Link(1e7, 0.2)])
@pytest.mark.parametrize("public", [ARTIFACT, FEW])
def test_the_least_predicted_is_chosen(public: Any, link: Link) -> None:
    able = candidates(public.public, BACKENDS)
    found = times(public, link, able)
    online, total = (choose(public, link, objective=objective) for objective in ("online", "total"))
    assert found[online.backend].online_ms == min(one.online_ms for one in found.values())
    sums = {name: one.online_ms + one.offline_ms for name, one in found.items()}
    assert sums[total.backend] == min(sums.values())
    assert {name: one.online_ms for name, one in online.times.items()} == {n: p.online_ms for n, p in found.items()}
    assert online == choose(public, link)


def test_the_two_wishes_may_differ() -> None:
    """Tables are least online, and made in many rounds."""
    link = Link(10e6, 40e-3)
    assert [choose(FEW, link, objective=wish).backend for wish in ("online", "total")] == ["table", "gmw"]


def test_what_needs_a_dealer_is_taken_only_where_one_is_named_and_the_baseline_never() -> None:
    alone = choose(ARTIFACT, SLOW)
    assert alone.backend in AUTO_BACKENDS
    assert set(alone.dealt) == {"fss"}  # what a dealer would give is told
    assert alone.dealt["fss"].online_ms == predict(ARTIFACT, "fss", SLOW, PRICES).online_ms
    trusting = choose(ARTIFACT, NARROW, dealt=("fss",))
    assert (trusting.backend, dict(trusting.dealt)) == ("fss", {})
    assert "crypten" not in candidates(ARTIFACT.public, BACKENDS, AUTO_DEALT)
    with pytest.raises(ConfigError, match=r"one of table, gmw, gc for auto, found none offered$"):
        candidates(ARTIFACT.public, ())
    with pytest.raises(ConfigError, match=r"one of table, gmw, gc for auto, found fss, crypten offered; name one"):
        choose(ARTIFACT, SLOW, offered=("fss", "crypten"))


def test_what_the_model_or_the_server_does_not_allow_is_not_chosen() -> None:
    assert choose(ARTIFACT, SLOW, offered=("gmw", "fss")).backend == "gmw"
    assert choose(FEW, SLOW, offered=("gc",)).backend == "gc"
    assert "fss" not in choose(FEW, SLOW, offered=("gmw", "gc")).dealt
    narrow = narrow_artifact()
    with pytest.raises(ConfigError, match=r"one of table, gmw, gc for auto, found fss, crypten offered; .*15"):
        choose(narrow, SLOW)
    assert choose(narrow, SLOW, dealt=("fss",)).backend == "fss"


def test_what_lies_prepared_comes_first() -> None:
    assert choose(ARTIFACT, SLOW, prepared={"gmw": 3}).backend == "gmw"
    assert choose(ARTIFACT, SLOW, prepared={"gmw": 3, "gc": 1}).backend == "gc"
    assert choose(ARTIFACT, SLOW, prepared={"table": 9}).backend == "gc"  # the model does not run under it any more
    kept = choose(ARTIFACT, SLOW, prepared={"fss": 2})
    assert kept.backend == "gc"  # no dealer was named
    assert "prepared besides: fss 2" in kept.line()


def test_without_a_link_or_a_price_the_fixed_order_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(ARTIFACT, None).backend == "gmw"
    assert choose(FEW, None, dealt=("fss",)).backend == "fss"
    assert "first in the fixed order" in choose(FEW, None).line()
    monkeypatch.setitem(BACKENDS, "unpriced", "pi_system.backends.two_party.backend")
    monkeypatch.setitem(TWO_PARTY_GATES, "unpriced", TWO_PARTY_GATES["gmw"])
    monkeypatch.setattr("pi_system.cost.choice.AUTO_BACKENDS", (*AUTO_BACKENDS, "unpriced"))
    found = choose(ARTIFACT, SLOW, offered=(*AUTO_BACKENDS, "unpriced"))
    assert (found.backend, found.unpriced, dict(found.times)) == ("gmw", ("unpriced",), {})
    assert "first in the fixed order, without prices of unpriced" in found.line()


def test_prices_of_another_machine_count_where_they_have_all_backends() -> None:
    prices = {name: 0.0 for name in PRICES.prices} | {"gc_wire": 1e9}
    other = PRICES.model_copy(update={"prices": prices})
    assert choose(ARTIFACT, SLOW, calibration=other).backend == "gmw"
    lacking = other.model_copy(update={"backends": ("gmw", "fss")})
    assert choose(ARTIFACT, SLOW, calibration=lacking).backend == "gc"  # by those that ship


def test_a_calibration_that_is_missing_or_stale_is_replaced_by_the_one_that_ships(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert calibration_or_default(None) == PRICES
    (tmp_path / "stale.json").write_text(PRICES.model_copy(update={"prices": {"gone": 1.0}}).model_dump_json())
    (tmp_path / "binary.json").write_bytes(bytes([0xFF, 0xFE]))
    for name, reason in (
        ("none.json", "No such file"),
        ("stale.json", "kinds of work that this version has"),
        ("binary.json", "file: Invalid JSON"),
    ):
        caplog.clear()
        assert calibration_or_default(tmp_path / name) == PRICES
        assert reason in caplog.text
    (tmp_path / "own.json").write_text(PRICES.model_copy(update={"machine": "mine"}).model_dump_json(by_alias=True))
    assert calibration_or_default(tmp_path / "own.json").machine == "mine"


def test_auto_over_a_known_link_and_a_name_are_resolved() -> None:
    assert [resolve(name, ARTIFACT, SLOW) for name in (AUTO, "gmw", "crypten")] == ["gc", "gmw", "crypten"]


def test_the_line_says_what_why_and_what_a_dealer_would_give() -> None:
    found = choose(ARTIFACT, SLOW, objective="total", note="dealer d:1 does not answer")
    line = found.line()
    assert line.startswith(
        f"{found.backend}: least time offline and online; predicted offline and online {found.backend}"
    )
    for part in ("gc ", "gmw ", "with a dealer fss ", "link 40 ms, 100 Mbit/s", "; dealer d:1 does not answer"):
        assert part in line, part
    assert "\n" not in line
    assert choose(ARTIFACT, SLOW, offered=("gc",)).line().startswith("gc: nothing else is allowed; predicted online gc")
    assert choose(ARTIFACT, None, prepared={"gc": 1_200}).line() == "gc: 1,200 prepared"


def test_the_same_as_plain_values() -> None:
    found = choose(ARTIFACT, SLOW, prepared={"gc": 2}).as_json()
    assert (found["backend"], found["objective"], found["prepared"]) == ("gc", "online", {"gc": 2})
    assert (found["rtt_ms"], found["rate_mbit_s"]) == (40.0, 100.0)
    assert set(found["predicted"]) == {"gmw", "gc"}
    assert set(found["with_dealer"]["fss"]) == {"online_ms", "offline_ms"}
    assert choose(ARTIFACT, Link(math.inf, 0.0)).as_json()["rate_mbit_s"] is None
    assert choose(ARTIFACT, None).as_json()["rtt_ms"] is None


@pytest.mark.parametrize("price", [-1.0, 1e16, True, "17.0", None])
def test_a_price_is_a_number_of_nanoseconds(tmp_path: Path, price: Any) -> None:
    file = PRICES.model_dump(by_alias=True) | {"prices": PRICES.prices | {"gate": price}}
    (tmp_path / "own.json").write_text(json.dumps(file))
    with pytest.raises(ConfigError, match=r"expected a file of benchmarks/calibrate\.py; prices\.gate"):
        load_calibration(tmp_path / "own.json")


def test_work_without_a_price_is_not_free() -> None:
    bare = PRICES.model_copy(update={"prices": {}})
    with pytest.raises(ConfigError, match="calibration: expected a price of"):
        predict(ARTIFACT, "gmw", SLOW, bare)
    assert choose(ARTIFACT, SLOW, calibration=bare) == choose(ARTIFACT, SLOW)
    one = PRICES.model_copy(update={"prices": {name: ns for name, ns in PRICES.prices.items() if name != "gmw_call"}})
    assert choose(ARTIFACT, SLOW, calibration=one) == choose(ARTIFACT, SLOW)


def test_the_total_of_a_new_client_has_what_is_sent_once() -> None:
    found = predict(ARTIFACT, "fss", SLOW, PRICES)
    assert found.setup_bytes > 0
    times = choose(ARTIFACT, SLOW, dealt=("fss",), objective="total").times["fss"]
    assert times.offline_ms == pytest.approx(found.offline_ms + 1000 * SLOW.transfer_s(found.setup_bytes))
