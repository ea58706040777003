"""A backend made of the shared pieces alone: a folder and a line in the registry are all that it takes."""

from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from oracle import assert_within_ulps, clear_labels
from parties import PAIRING, infer, prepare, run_parties
from random_networks import random_small_artifact, random_square_artifact

from pi_system.artifact import Artifact
from pi_system.backends.base import PairedRuntime
from pi_system.backends.registry import find_backend
from pi_system.export import QuantiseOptions
from pi_system.export.random import random_pictures
from pi_system.program.reveal import Reveal
from pi_system.secure.options import RuntimeOptions
from pi_system.secure.schedule import plan

BACKENDS = MappingProxyType({"insecure-ideal": "insecure_ideal"})
ARTIFACTS = {
    "masks": lambda: random_small_artifact(3),
    "maxpool": lambda: random_small_artifact(8),
    "truncated before": lambda: random_small_artifact(
        1, options=QuantiseOptions(ring_bits=59, truncate_before_relu=True)
    ),
    "squares": lambda: random_square_artifact(1, options=QuantiseOptions(ring_bits=59)),
}


def found_by(artifact: Artifact, pictures: Any, store: Path, reveal: Reveal) -> Any:
    options = RuntimeOptions(
        backend="insecure-ideal", client_id=PAIRING, reveal=reveal, insecure_provider=False, store_dir=store
    )
    backend = find_backend(options.backend, BACKENDS)
    server, client = backend.make_server(artifact, options), backend.make_client(artifact, options)
    assert isinstance(server, PairedRuntime)
    assert isinstance(client, PairedRuntime)
    run_parties(server.meet, client.meet)
    prepare(server, client, len(pictures))
    return infer(server, client, pictures)


@pytest.mark.parametrize("network", ARTIFACTS)
def test_its_logits_stay_within_the_stated_ulps_and_its_rounds_are_declared(network: str, tmp_path: Path) -> None:
    artifact = ARTIFACTS[network]()
    pictures = random_pictures(artifact.public.graph.input.shape, 5, 1)
    logits, _, client = found_by(artifact, pictures, tmp_path, "logits")
    assert_within_ulps(artifact, pictures, logits)
    gates = plan(artifact.public.graph, artifact.public.ring, artifact.masks, "logits").gates
    assert client.counters.rounds == len(gates) + 1


def test_its_label_is_the_plaintexts(tmp_path: Path) -> None:
    artifact = random_small_artifact(3)
    pictures = random_pictures(artifact.public.graph.input.shape, 6, 4)
    clear, expected = clear_labels(artifact, pictures)
    labels, _, _ = found_by(artifact, pictures, tmp_path, "label")
    assert (labels[clear, 0] == expected).all()
