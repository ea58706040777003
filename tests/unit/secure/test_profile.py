"""Both online walks under a profiler, over memory channels: every byte and round has its layer."""

from pathlib import Path
from typing import Any

import pytest
from parties import BACKENDS, infer, make_parties, prepare, prepared
from random_networks import random_small_artifact
from scaled_artifact import relu_artifact

from pi_system.artifact.graph import Conv2d, Linear
from pi_system.channel.memory import memory_pair
from pi_system.export.random import random_pictures
from pi_system.program.reveal import Reveal
from pi_system.rpc.phase_profile import OFFLINE_STEPS, layer_kinds, start_profiler
from pi_system.secure.schedule import plan


def counted(counters: Any) -> Any:
    return counters.sent_bytes, counters.received_bytes, counters.rounds


def booked(pieces: Any) -> Any:
    return tuple(sum(getattr(p, name) for p in pieces) for name in ("sent_bytes", "received_bytes", "rounds"))


def both(graph: Any, phase: Any = "online") -> Any:
    return {party: start_profiler(phase, memory_pair()[0], graph) for party in ("server", "client")}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("seed", "reveal"), [(0, "label"), (5, "logits"), (8, "scores")])
def test_bytes_and_rounds_of_layers_are_the_channels(backend: str, seed: int, reveal: Reveal, tmp_path: Path) -> None:
    artifact = random_small_artifact(seed)
    graph = artifact.public.graph
    server, client = prepared(backend, artifact, tmp_path, 2, reveal=reveal)
    pictures, watch = random_pictures(graph.input.shape, 2, 1), both(graph)
    _, left, right = infer(server, client, pictures, wrap=lambda role, channel: watch[role].watch(channel))
    pieces = {party: profiler.stop() for party, profiler in watch.items()}
    assert booked(pieces["server"]) == counted(left.counters)
    assert booked(pieces["client"]) == counted(right.counters)
    gates = plan(graph, artifact.public.ring, artifact.masks, reveal).gates
    talking = {gate.name.partition("/")[0] for gate in gates} | {graph.input.name, "output"}
    for found in pieces.values():
        assert {p.layer for p in found if p.sent_bytes or p.received_bytes} == talking
        assert {(p.layer, p.kind) for p in found} <= layer_kinds(graph).items()
    weighted = {node.name for node in graph if isinstance(node, Conv2d | Linear)}
    assert weighted <= {p.layer for p in pieces["server"] if p.track == "compute"}
    input_bytes = pictures.size * server.ring.itemsize
    assert booked([p for p in pieces["client"] if p.layer == graph.input.name]) == (input_bytes, 0, 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_offline_phase_is_told_apart_and_complete(backend: str, tmp_path: Path) -> None:
    artifact = random_small_artifact(5)
    watch = both(artifact.public.graph, "offline")
    server, client = make_parties(backend, artifact, tmp_path)
    channels = []

    def wrap(role: str, channel: Any) -> Any:
        channels.append(channel)
        return watch[role.split()[0]].watch(channel)

    prepare(server, client, 2, wrap=wrap)
    pieces = watch["client"].stop() + watch["server"].stop()
    assert {p.layer for p in pieces} == {"setup", "linear", "gates", "store"}
    assert {p.layer for p in pieces} <= set(OFFLINE_STEPS)
    sent, received, rounds = booked(pieces)
    assert sent == sum(channel.counters.sent_bytes for channel in channels)
    assert received == sum(channel.counters.received_bytes for channel in channels)
    assert rounds == sum(channel.counters.rounds for channel in channels)


def test_a_layer_computed_for_a_gate_is_booked_to_itself(tmp_path: Path) -> None:
    """The convolution before a ReLU is computed inside of the ReLU's gate."""
    artifact = relu_artifact(0.1)
    server, client = prepared("fss", artifact, tmp_path, 1)
    pictures = random_pictures(artifact.public.graph.input.shape, 1, 1)
    watch = start_profiler("online", memory_pair()[0], artifact.public.graph)
    entered, enter = [], watch.enter
    watch.enter = lambda step: entered.append(step) or enter(step)  # type: ignore[func-returns-value, method-assign]
    infer(server, client, pictures, wrap=lambda role, channel: watch.watch(channel) if role == "server" else channel)
    assert entered == [
        *("conv1", "relu1", "conv1", "relu1"),
        *("conv2", "relu2", "conv2", "relu2"),
        *("flatten", "fc", "fc", "fc", "output"),
    ]
