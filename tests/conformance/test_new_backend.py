"""A backend made of the shared pieces alone: a folder and a line in the registry are all that it takes."""

from types import MappingProxyType

import numpy as np
import pytest
from parties import PAIRING, prepare, reserve, run_parties
from random_networks import random_small_artifact, random_square_artifact

from pi_system.backends.base import PairedRuntime
from pi_system.backends.registry import find_backend
from pi_system.export import QuantiseOptions
from pi_system.export.random import random_pictures
from pi_system.program.error_bound import artifact_ulp_bound
from pi_system.program.fixed_point import fixed_logits
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


def infer(artifact, pictures, store, reveal):
    options = RuntimeOptions(
        backend="insecure-ideal", client_id=PAIRING, reveal=reveal, insecure_provider=False, store_dir=store
    )
    backend = find_backend(options.backend, BACKENDS)
    server, client = backend.make_server(artifact, options), backend.make_client(artifact, options)
    assert isinstance(server, PairedRuntime)
    assert isinstance(client, PairedRuntime)
    run_parties(server.meet, client.meet)
    prepare(server, client, len(pictures))
    ids = reserve(server, client, len(pictures))
    _, found, left, right = run_parties(
        lambda channel: server.infer(ids, channel), lambda channel: client.infer(pictures, ids, channel)
    )
    return found, left, right


@pytest.mark.parametrize("network", ARTIFACTS)
def test_its_logits_stay_within_the_stated_ulps_and_its_rounds_are_declared(network, tmp_path):
    artifact = ARTIFACTS[network]()
    pictures = random_pictures(artifact.public.graph.input.shape, 5, 1)
    expected, _ = fixed_logits(artifact, pictures)
    logits, _, client = infer(artifact, pictures, tmp_path, "logits")
    found = logits * 2.0 ** artifact.public.ring.frac_bits[artifact.public.graph.output]
    assert (np.abs(found - expected) <= artifact_ulp_bound(artifact)).all()
    gates = plan(artifact.public.graph, artifact.public.ring, artifact.masks, "logits").gates
    assert client.counters.rounds == len(gates) + 1


def test_its_label_is_the_plaintexts(tmp_path):
    artifact = random_small_artifact(3)
    pictures = random_pictures(artifact.public.graph.input.shape, 6, 4)
    _, expected = fixed_logits(artifact, pictures)
    top = np.sort(expected, axis=1)[:, -2:]
    clear = top[:, 1] - top[:, 0] > 0.05
    labels, _, _ = infer(artifact, pictures, tmp_path, "label")
    assert (labels[clear, 0] == expected.argmax(axis=1)[clear]).all()
    assert clear.any()
