"""What a reduced network costs in a run under ``fss``, by its counters; every method's logits: ``test_catalogue``."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from parties import make_parties, prepare, reserve, run_parties
from reductions import MakeTask

from pi_system.export import export_network
from pi_system.program import mac_count, relu_count
from pi_system.reduce import make_method
from pi_system.secure.ring_layer import RingLayer
from pi_system.secure.schedule import plan
from pi_system.train import DataSet
from pi_system.train.data.augment import Normalisation


@pytest.fixture(scope="module")
def inputs(few_digits: DataSet) -> Any:
    """32 normalised digits, float32 (32, 1, 8, 8)."""
    normalise = Normalisation.of(few_digits.preprocess, torch.device("cpu"))
    return normalise(few_digits.train.images[:32]).contiguous().numpy()


@pytest.fixture(scope="module")
def exported(few_digits: DataSet, inputs: Any) -> Any:
    """Export under the name ``reduced``, calibrated on the inputs."""

    def export(network: Any) -> Any:
        return export_network(network.eval(), few_digits.preprocess, inputs, "reduced")

    return export


def test_a_shallow_network_costs_fewer_relus_rounds_and_macs_in_the_run(
    make_task: MakeTask, exported: Any, inputs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(300, epochs=1)
    networks = {"source": task.network, "shallow": make_method("shallow", {}).reduce(task).network}
    macs = []
    start = RingLayer.start

    def counted(self: Any, x: Any, *arguments: Any) -> Any:
        macs.append(math.prod(self.node.shape) * self.taps * len(x))
        return start(self, x, *arguments)

    built = RingLayer.__init__

    def build(self: Any, node: Any, weight: Any) -> None:
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
            lambda channel, server=server, ids=ids: server.infer(ids, channel),  # type: ignore[misc]
            lambda channel, client=client, ids=ids: client.infer(inputs[:1], ids, channel),  # type: ignore[misc]
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
