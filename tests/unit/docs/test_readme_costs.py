"""What README's table of backends says of bytes and round trips is what the protocols declare."""

import re
from pathlib import Path

import pytest

from pi_system.protocols.gate import GateSpec
from pi_system.protocols.relu_dcf import dcf_gate
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW

README = (Path(__file__).resolve().parents[3] / "README.md").read_text()
ROW = r"^\| `{name}`.*\| (\d+) \| ([\d.]+) \|$"


@pytest.mark.parametrize(("name", "cost"), [("gmw", GMW.cost), ("gc", GC.cost), ("fss", dcf_gate().cost)])
def test_a_row_of_the_table_is_declared(name, cost):
    k, t, bits = map(int, re.search(r"\(k = (\d+), t = (\d+), l = (\d+)\)", README).groups())
    declared = cost(GateSpec(count=32_000, ring_bits=bits, comparison_bits=k, shift=t))
    trips, nbytes = re.search(ROW.format(name=name), README, re.MULTILINE).groups()
    assert int(trips) == declared.round_trips
    total = declared.server_to_client_bytes + declared.client_to_server_bytes
    assert float(nbytes) == pytest.approx(total / 32_000, abs=0.05)
