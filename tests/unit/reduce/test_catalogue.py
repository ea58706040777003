"""The catalogue as a whole: every registered method, at each of its granularities, on each family of networks.

A method is covered by being registered: granularities are read from its options. By default a selection runs in which
every method meets several families and every backend several methods; ``PI_CATALOGUE=full`` runs the whole product.
"""

import copy
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from changed_artifact import runnable
from oracle import assert_within_ulps
from parties import BACKENDS, PAIRING, infer, prepared
from reductions import MakeTask, killed_after_every_epoch

from pi_system.artifact import Artifact
from pi_system.backends.crypten.cost import lockstep
from pi_system.backends.crypten.party import correlation_plan
from pi_system.cost import default_calibration, predict
from pi_system.errors import BudgetError, ConfigError
from pi_system.export import export_network
from pi_system.export.quantise import QuantiseOptions
from pi_system.program import mac_count, relu_count, relu_layers
from pi_system.reduce import METHODS, make_method
from pi_system.reduce.options import options_of
from pi_system.train import DataSet, ReluMap, build_network
from pi_system.train.data.augment import Normalisation
from pi_system.train.mixed import load_weights

FULL = os.environ.get("PI_CATALOGUE") == "full"
PICTURES = 2

# Options that make a method cheap here, or its networks small enough for digits; all others are the defaults.
SETTINGS = {
    "deepreduce": {"criticality_epochs": "1", "reshape": "true"},
    "deepreshape": {"least_width": "1"},
    "delphi": {"candidates": "2"},
    "snl": {"search_epochs": "2"},
    "sphynx": {"arch": "c0s1-c0e1-rrn"},
}


FAMILIES = ("resnet18:m=2", "hrn-2x5x3x:m=1", "wrn-16-1:m=2", "vgg16:m=2", "cnet1:m=2")


def _granularities(name: str) -> Any:
    granularity = options_of(METHODS[name]).get("granularity")
    return granularity.choices if granularity is not None and granularity.choices else ("",)


PRODUCT = [
    (name, granularity, family) for name in METHODS for granularity in _granularities(name) for family in FAMILIES
]


def _selected() -> Iterator[Any]:
    """Of each method and granularity one family, in turn; all methods with the first granularity on a second one."""
    for place, name in enumerate(METHODS):
        for turn, granularity in enumerate(_granularities(name)):
            yield name, granularity, FAMILIES[(place + turn) % len(FAMILIES)]
        yield name, _granularities(name)[0], FAMILIES[(place + 2) % len(FAMILIES)]


CASES = PRODUCT if FULL else list(dict.fromkeys(_selected()))
IDS = ["-".join(filter(None, case)) for case in CASES]


EVERY = (*BACKENDS, "crypten")


def _backends(case: Any) -> Any:
    """All of them, or one after the other."""
    return EVERY if FULL else (EVERY[CASES.index(case) % len(EVERY)],)


def test_the_selection_spans_methods_families_and_backends() -> None:
    assert {name for name, _, _ in CASES} == set(METHODS)
    assert {family for _, _, family in CASES} == set(FAMILIES)
    assert {(name, granularity) for name, granularity, _ in CASES} == {case[:2] for case in PRODUCT}
    assert {backend for case in CASES for backend in _backends(case)} == set(EVERY)
    assert set(SETTINGS) <= set(METHODS)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_budget_resume_export_backends_and_costs(
    make_task: MakeTask, few_digits: DataSet, tmp_path: Path, case: Any
) -> None:
    name, granularity, family = case
    method = make_method(name, SETTINGS.get(name, {}) | ({"granularity": granularity} if granularity else {}))
    tiny = replace(few_digits, train=few_digits.train.subset(torch.arange(64)))
    task = make_task(1, family, tiny)
    present, before = ReluMap.of(task.network).count, copy.deepcopy(task.network.state_dict())
    task, whole = _reduce(method, task, present // 2)

    limit = present if hasattr(method, "KEEPS_RELUS") else task.budget  # a control that takes no ReLUs
    assert 0 < whole.relu_map.count <= limit
    assert whole.relu_map.count == limit or granularity != "pixel"
    assert ReluMap.of(task.network).count == present
    assert _equal(task.network.state_dict(), before)
    load_weights(build_network(whole.spec), whole.network.state_dict())  # the spec describes the network

    resumed, seen = killed_after_every_epoch(method, replace(task, workdir=tmp_path / "work"))
    assert seen
    assert resumed.spec == whole.spec
    assert resumed.relu_map == whole.relu_map
    assert _equal(resumed.network.state_dict(), whole.network.state_dict())

    normalise = Normalisation.of(tiny.preprocess, torch.device("cpu"))
    pictures = normalise(tiny.train.images[:32]).contiguous().numpy()
    options = QuantiseOptions(allow_inexact=True)  # trained for two epochs, some outgrow every ring
    artifact = export_network(whole.network.eval(), tiny.preprocess, pictures, "catalogue", options)
    assert relu_count(artifact.public.graph) == whole.relu_map.count
    for backend in _backends(case):
        if backend == "crypten":
            _check_crypten(artifact)
        else:
            _check_backend(backend, artifact, pictures[:PICTURES], tmp_path / backend)


def _equal(state: Any, other: Any) -> bool:
    return all(torch.equal(value, other[key]) for key, value in state.items())


def _reduce(method: Any, task: Any, budget: Any) -> Any:
    """To the budget; or the method refuses, and says the least, which it then reaches.

    A method for blocks of a certain kind refuses other families; all take ResNets.
    """
    task = replace(task, budget=budget)
    try:
        return task, method.reduce(task)
    except BudgetError as refused:
        least = refused.least
    except ConfigError as refused:
        if task.spec.base == "resnet18" or "expected a network of" not in str(refused):
            raise
        pytest.skip(str(refused))
    assert least > budget
    if least >= ReluMap.of(task.network).count:
        pytest.skip(f"the least is the network itself, {least} ReLUs")
    task = replace(task, budget=least)
    return task, method.reduce(task)


def _check_backend(backend: str, artifact: Artifact, pictures: Any, store: Path) -> None:
    """Logits are the fixed-point interpreter's, and a run counts what the cost model declares."""
    artifact = runnable(backend, artifact)
    declared = predict(artifact, backend, "lan", default_calibration())
    server, client = prepared(backend, artifact, store, len(pictures))
    stored = {path.parts[-5]: path.stat().st_size for path in store.glob(f"*/*/*/{PAIRING}/*.ready")}
    assert stored == {"server": declared.stored_bytes_server, "client": declared.stored_bytes_client}

    found = []
    for picture in pictures:
        logits, _, mine = infer(server, client, picture[None])
        found.append(logits[0])
    assert mine.counters.rounds == declared.online_rounds
    assert mine.counters.sent_bytes == declared.client_to_server_bytes
    assert mine.counters.received_bytes == declared.server_to_client_bytes
    assert declared.online_rounds >= relu_layers(artifact.public.graph) + 1
    assert mac_count(artifact.public.graph) > 0

    secure = np.stack(found)
    logits = assert_within_ulps(artifact, pictures, secure)
    # The bound holds for any input and is loose for deep networks; logits that mean anything are also close.
    spread = logits.max(1) - logits.min(1)
    assert (np.abs(secure - logits).max(1) < 0.1 * spread + 0.02).all()


def _check_crypten(artifact: Artifact) -> None:
    """CrypTen runs in processes of its own (tests/integration); what it is dealt is what is declared."""
    plan, declared = correlation_plan(artifact.public.graph, artifact.masks), lockstep("crypten", artifact).openings
    assert sum(opening.dealt_bytes for opening in declared) == plan.correction_bytes()
    assert sum(opening.rounds for opening in declared) == len(plan.items)
