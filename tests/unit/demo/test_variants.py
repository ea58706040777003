"""The networks of the race are the built-in one's weights with other public parts."""

import json
from pathlib import Path

import numpy as np
import pytest

from pi_system.artifact.store import load
from pi_system.backends.registry import runnable
from pi_system.demo.parties import BACKENDS
from pi_system.demo.variants import ACCURACY_FILE, RELUS, VARIANTS, artifact_of, name_of
from pi_system.networks import artifact_folder, read_card


@pytest.mark.parametrize("relus", RELUS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_switch_has_a_network_that_its_backend_runs(relus: str, backend: str, tmp_path: Path) -> None:
    name = name_of(relus, backend)  # type: ignore[arg-type]
    found, builtin = load(artifact_of(name, tmp_path / name)), load(artifact_folder("cifar10"))
    assert backend in runnable(found.public)
    assert all(np.array_equal(found.weights[key], value) for key, value in builtin.weights.items())
    relus_found = sum(node.active for node in found.public.graph.relus())
    assert relus_found == read_card("cifar10").relus // (2 if relus == "half" else 1)
    assert bool(found.public.ring.compare_bits) == (backend == "table")


def test_the_variants_kept_are_those_named_and_their_accuracy_is_of_all_test_pictures() -> None:
    folders = {path.name for path in VARIANTS.iterdir() if path.is_dir()}
    assert folders == {name_of(relus, backend) for relus in RELUS for backend in BACKENDS} - {"full"}
    stated = json.loads((VARIANTS / ACCURACY_FILE).read_text())
    assert stated["pictures"] == 10_000
    assert 0.1 < stated["test_accuracy"] < read_card("cifar10").test_accuracy
