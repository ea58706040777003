"""README's figures are those of the code."""

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pi_system import errors
from pi_system.protocols.gate import GateCost, GateSpec
from pi_system.protocols.relu_dcf import DCF
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW
from pi_system.protocols.relu_table import TABLE
from pi_system.reduce.configurations import Reshaping, candidates, choose, configurations, in_order, reshapings
from pi_system.reduce.job import budget_of
from pi_system.train.networks import build_network
from pi_system.train.relu import named_relus
from pi_system.train.spec import NetworkSpec

CIFAR100 = {"classes": 100, "size": 32, "channels": 3}
ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text()


def _of_eight_bits(spec: GateSpec) -> GateCost:
    return TABLE.cost(replace(spec, unseen_bits=spec.opened_bits - 8))


ROW = r"^\| `{name}`.*\| (\d+) \| ([\d.]+) \|$"


COSTS = {"gmw": GMW.cost, "gc": GC.cost, "fss": DCF.cost, "table": _of_eight_bits}


@pytest.mark.parametrize(("name", "cost"), COSTS.items())
def test_a_row_of_the_table_is_declared(name: str, cost: Callable[..., Any]) -> None:
    k, t, bits = map(int, re.search(r"\(k = (\d+), t = (\d+), l = (\d+)\)", README).groups())  # type: ignore[union-attr]
    declared = cost(GateSpec(count=32_000, ring_bits=bits, comparison_bits=k, shift=t))
    trips, nbytes = re.search(ROW.format(name=name), README, re.MULTILINE).groups()  # type: ignore[union-attr]
    assert int(trips) == declared.round_trips
    total = declared.server_to_client_bytes + declared.client_to_server_bytes
    assert float(nbytes) == pytest.approx(total / 32_000, abs=0.05)


def test_every_exit_code_is_in_the_readme() -> None:
    (listed,) = re.findall(r"an exit code: (.*?)\(`pi_system/errors\.py`\)", README, re.DOTALL)
    stated = set()
    for first, last in re.findall(r"\b(\d+)(?: to (\d+))?\b", listed):
        stated |= set(range(int(first), int(last or first) + 1))
    codes = {kind.exit_code for kind in errors.ERRORS.values()} - {1}
    assert codes <= stated
    assert all(any(code in range(low, low + 10) for code in codes) for low in {10 * (c // 10) for c in stated} - {0})


def test_every_error_is_in_the_modules_table() -> None:
    table = dict(re.findall(r"^ +(\w+Error) +(\d+)", errors.__doc__, re.MULTILINE))
    assert table == {name: str(kind.exit_code) for name, kind in errors.ERRORS.items()}


def test_deepreduce_reaches_the_budgets_of_its_commands_whatever_stage_is_the_most_critical() -> None:
    commands = re.findall(r"--method deepreduce --fraction (\S+) (.*?)--out", README)
    assert len(commands) == 2
    spec = NetworkSpec.parse(re.findall(r"pi-train train --network (\S+) --data cifar100", README)[0], **CIFAR100)
    network = build_network(spec, device="meta")
    for share, options in commands:
        budget = budget_of(sum(relu.active for relu in named_relus(network).values()), None, float(share))
        shapes = reshapings(spec) if "--set reshape=true" in options else [Reshaping()]
        for order in itertools.permutations((1, 2, 3, 4)):
            found = in_order(candidates(spec, network, shapes, configurations(order)))
            assert choose(found, budget).relus <= budget
