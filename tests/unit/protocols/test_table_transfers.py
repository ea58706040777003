"""Whose turn it is when the transfers of a table are taken, so that no party is silent for a layer; what is priced."""

from itertools import groupby
from typing import Any

import pytest
from halves import run_alone

from pi_system.protocols.gate import GateSpec
from pi_system.protocols.half import Half
from pi_system.protocols.ot import OtParty
from pi_system.protocols.relu_table import TABLE, products
from pi_system.protocols.relu_table.shape import shape_of

LONGEST = 1 << 18


@pytest.mark.parametrize("role", [0, 1])
def test_directions_change_every_quarter_of_a_million_elements(role: int, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = GateSpec(count=2 * LONGEST + 1, ring_bits=32, comparison_bits=24, shift=10, unseen_bits=6)
    shape, taken = shape_of(spec), list[tuple[str, int]]()

    class End:
        delta = None

        def __init__(self, name: str) -> None:
            self.name = name

        def extend(self, count: int) -> Half[Any]:
            taken.append((self.name, count))
            yield from ()

    for hashed in ("_offer", "_choose"):
        monkeypatch.setattr(products, hashed, lambda *_: products.Offered([], [], []))
    run_alone(products.take(shape, role, OtParty(End("sends"), End("receives"))))  # type: ignore[arg-type]
    names = ["sends", "receives"] if role == 0 else ["receives", "sends"]
    turns = [(name, sum(count for _, count in some)) for name, some in groupby(taken, lambda each: each[0])]
    assert [name for name, _ in turns] == 3 * names
    down, up = (direction.cots for direction in shape.directions)
    assert [count for _, count in turns[:4]] == 2 * [LONGEST * down, LONGEST * up]


def test_online_an_element_is_touched_once_a_party_and_offline_every_entry_of_a_table_is_made() -> None:
    gate, spec = TABLE, GateSpec(count=70, ring_bits=32, comparison_bits=24, shift=10, unseen_bits=6)
    touched = {"fss_call": 1, "fss_element": 50}
    assert gate.work(spec, 50) == {"send": {"fss_call": 1}, "work": {}, "reply": touched, "receive": touched}
    assert gate.prepared(spec) == {"table_prepared": 70, "table_entry": 70 * 128}
