"""The networks of the race are built in, and every backend of the demo runs them."""

import pytest

from pi_system.artifact.store import load_public
from pi_system.backends.registry import runnable
from pi_system.demo.parties import BACKENDS
from pi_system.demo.variants import NETWORKS
from pi_system.networks import artifact_folder, read_card


@pytest.mark.parametrize("name", NETWORKS.values())
def test_every_backend_of_the_demo_runs_both_networks(name: str) -> None:
    assert set(BACKENDS) <= set(runnable(load_public(artifact_folder(name)).public))


def test_the_second_has_half_of_the_relus_and_is_nearly_as_good() -> None:
    full, half = (read_card(name) for name in NETWORKS.values())
    assert 2 * half.relus == full.relus
    assert half.network == full.network
    assert full.test_accuracy - 0.1 < half.test_accuracy < full.test_accuracy
