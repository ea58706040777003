"""Choosing how many bits comparisons see: ranges stay sure, labels stay, and ``auto`` goes layer by layer."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from random_networks import random_small_artifact

from pi_system.artifact import Artifact
from pi_system.artifact.graph import MaxPool2d, Relu
from pi_system.cli.export import export
from pi_system.export import QuantiseOptions
from pi_system.export.compare_bits import CompareBits, CompareSearch
from pi_system.export.random import random_pictures
from pi_system.export.ranges import calibrate
from pi_system.program.float_point import FloatInterpreter, float_logits
from pi_system.ring.prg import Prg

SEED = 4


def search(artifact: Artifact) -> CompareSearch:
    graph, ring = artifact.public.graph, artifact.public.ring
    pictures = random_pictures(graph.input.shape, 64, SEED)
    ranges = calibrate(graph, artifact.masks, artifact.weights, pictures)
    return CompareSearch(graph, ring, artifact.masks, artifact.weights, ranges, pictures, -20.0)


def compared(artifact: Artifact) -> dict[str, int]:
    ring = artifact.public.ring
    nodes = [node for node in artifact.public.graph if isinstance(node, Relu | MaxPool2d)]
    return {node.name: ring.comparison_bits[node.name] - ring.shift(node) for node in nodes}


def test_full_changes_nothing() -> None:
    artifact = random_small_artifact(SEED)
    assert search(artifact).choose("full", 0.0) is artifact.public.ring


@pytest.mark.parametrize("wanted", [5, 8, 63])
def test_a_number_is_that_of_all_whose_range_allows_it(wanted: int) -> None:
    artifact = random_small_artifact(SEED)
    found = search(artifact).choose(wanted, 0.0)
    every = compared(artifact)
    assert all(wanted <= bits < every[name] for name, bits in found.compare_bits.items())
    assert (wanted in found.compare_bits.values()) == (wanted < 63)
    assert artifact.public.ring.overflow_log2 <= found.overflow_log2 < -15


def test_bits_that_would_leave_too_little_room_are_not_taken() -> None:
    artifact = random_small_artifact(SEED)
    found = search(artifact).choose(2, 0.0)  # half the range
    assert min(found.compare_bits.values()) > 2
    assert found.overflow_log2 < -15


def _changed(artifact: Artifact, bits: CompareBits, loss: float) -> tuple[float, int]:
    chosen = search(artifact)
    ring = chosen.choose(bits, loss)
    windows = {node.name: ring.window(node) for node in artifact.public.graph if node.name in ring.compare_bits}
    coins = Prg(b"other coins, now")
    interpreter = FloatInterpreter(artifact.masks, artifact.weights, random_signs=(windows, coins))
    pictures = np.concatenate([chosen.pictures] * 8)
    labels = interpreter.run(artifact.public.graph, torch.from_numpy(pictures)).numpy().argmax(axis=1)
    exact = float_logits(artifact, pictures).argmax(axis=1)
    return float((labels != exact).mean()), sum((compared(artifact) | ring.compare_bits).values())


def test_auto_keeps_labels_with_few_bits() -> None:
    artifact = random_small_artifact(SEED)
    changed, bits = _changed(artifact, "auto", 0.01)
    assert changed <= 0.03
    assert bits < sum(compared(artifact).values())
    many, fewer = _changed(artifact, "auto", 0.2)
    assert fewer <= bits
    assert many <= 0.3


def test_an_export_takes_the_option() -> None:
    artifact = random_small_artifact(SEED, options=QuantiseOptions(compare_bits=7))
    assert 7 in artifact.public.ring.compare_bits.values()
    assert not random_small_artifact(SEED).public.ring.compare_bits


@pytest.mark.parametrize("value", ["1", "64", "-2", "eight", ""])
def test_the_command_refuses_other_words(value: str) -> None:
    result = CliRunner().invoke(export, ["run", "folder", "--compare-bits", value])
    assert result.exit_code == 2
    assert "expected auto, full or 2 to 63" in result.output
