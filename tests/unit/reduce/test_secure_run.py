"""The network of every method under ``fss``: the fixed-point oracle's logits, and what a run costs by its counters."""

import math

import numpy as np
import pytest
import torch
from parties import make_parties, prepare, reserve, run_parties, secure_logits

from pi_system.export import export_network
from pi_system.program import mac_count, relu_count, relu_layers
from pi_system.program.error_bound import artifact_ulp_bound
from pi_system.program.fixed_point import fixed_logits
from pi_system.reduce import METHODS, make_method
from pi_system.secure.ring_layer import RingLayer
from pi_system.secure.schedule import plan
from pi_system.train.data.augment import Normalisation

_CHANNEL = {"granularity": "channel"}
_CASES = [
    ("snl", {}),
    ("snl", _CHANNEL),
    ("senet", {}),
    ("senet", _CHANNEL),
    ("shallow", {}),
    ("deepreduce", {"order": "3,2,4,1"}),
    ("deepreshape", {}),
    ("random", {}),
    ("random", _CHANNEL),
    ("narrower", {}),
]
_IDS = ["-".join([name, *options.values()]).replace(",", "") for name, options in _CASES]


@pytest.fixture(scope="module")
def inputs(few_digits):
    """32 normalised digits, float32 (32, 1, 8, 8)."""
    normalise = Normalisation.of(few_digits.preprocess, torch.device("cpu"))
    return normalise(few_digits.train.images[:32]).contiguous().numpy()


@pytest.fixture(scope="module")
def exported(few_digits, inputs):
    """Export under the name ``reduced``, calibrated on the inputs."""

    def export(network):
        return export_network(network.eval(), few_digits.preprocess, inputs, "reduced")

    return export


def test_every_method_runs_here():
    assert {name for name, _ in _CASES} == set(METHODS)


@pytest.mark.parametrize(("name", "options"), _CASES, ids=_IDS)
def test_secure_logits_are_those_of_the_fixed_point_oracle(make_task, exported, inputs, tmp_path, name, options):
    task = make_task(600 if name == "narrower" else 300, epochs=1)
    result = make_method(name, options).reduce(task)
    artifact = exported(result.network)
    graph, ring = artifact.public.graph, artifact.public.ring
    assert 0 < relu_count(graph) == result.relu_map.count <= task.budget

    expected, logits = fixed_logits(artifact, inputs, check_range=True)
    secure, _, client = secure_logits("fss", artifact, inputs, tmp_path)
    assert (np.abs(secure * 2.0 ** ring.frac_bits[graph.output] - expected) <= artifact_ulp_bound(artifact)).all()
    # The bound holds for any input and is loose for deep networks; logits that mean anything are also close.
    spread = logits.max(1) - logits.min(1)
    assert (np.abs(secure - logits).max(1) < 0.1 * spread + 0.02).all()
    assert client.counters.rounds == relu_layers(graph) + 1


def test_a_shallow_network_costs_fewer_relus_rounds_and_macs_in_the_run(
    make_task, exported, inputs, tmp_path, monkeypatch
):
    task = make_task(300, epochs=1)
    networks = {"source": task.network, "shallow": make_method("shallow", {}).reduce(task).network}
    macs = []
    start = RingLayer.start

    def counted(self, x, *arguments):
        macs.append(math.prod(self.node.shape) * self.taps * len(x))
        return start(self, x, *arguments)

    built = RingLayer.__init__

    def build(self, node, weight):
        built(self, node, weight)
        self.taps = math.prod(weight.shape[1:])

    monkeypatch.setattr(RingLayer, "__init__", build)
    monkeypatch.setattr(RingLayer, "start", counted)
    cost = {}
    for label, network in networks.items():
        artifact = exported(network)
        graph = artifact.public.graph
        server, client = make_parties("fss", artifact, tmp_path / label)
        prepare(server, client, 1)
        ids = reserve(server, client, 1)
        macs.clear()  # the dealer multiplied, too
        _, _, left, right = run_parties(
            lambda channel, server=server, ids=ids: server.infer(ids, channel),
            lambda channel, client=client, ids=ids: client.infer(inputs[:1], ids, channel),
        )
        assert sum(macs) == mac_count(graph)
        gates = plan(graph, artifact.public.ring, artifact.masks, "logits").gates
        assert sum(gate.spec.count for gate in gates) == relu_count(graph)
        cost[label] = {
            "ReLUs": relu_count(graph),
            "bytes": left.counters.sent_bytes,
            "rounds": right.counters.rounds,
            "MACs": sum(macs),
        }
    assert all(cost["shallow"][key] < 0.6 * cost["source"][key] for key in cost["source"]), cost
