"""Choosing how many bits comparisons see: ranges stay sure, accuracy stays, and ``auto`` goes layer by layer."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from changed_artifact import changed
from click.testing import CliRunner
from random_networks import random_small_artifact
from torch import nn

from pi_system.artifact import Artifact
from pi_system.artifact.graph import MaxPool2d, Relu
from pi_system.cli.export import export, show_table
from pi_system.errors import ConfigError
from pi_system.export.compare_auto import ComparedLayer, CompareTable
from pi_system.export.compare_bits import CompareBits, CompareOptions, choose_compare_bits
from pi_system.export.compare_loss import Loss
from pi_system.export.random import random_artifact, random_pictures
from pi_system.program.encoding import encode_input, logits_to_float, quantise_weights
from pi_system.program.fixed_point import FixedInterpreter
from pi_system.program.float_point import FloatInterpreter, float_logits
from pi_system.ring.prg import Prg

SEED = 4


def pictures_of(artifact: Artifact) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return random_pictures(artifact.public.graph.input.shape, 64, SEED)


def chosen(artifact: Artifact, bits: CompareBits, loss: float | None = None) -> tuple[Artifact, CompareTable | None]:
    return choose_compare_bits(artifact, pictures_of(artifact), CompareOptions(bits=bits, loss=loss))


def compared(artifact: Artifact) -> dict[str, int]:
    ring = artifact.public.ring
    nodes = [node for node in artifact.public.graph if isinstance(node, Relu | MaxPool2d)]
    return {node.name: ring.comparison_bits[node.name] - ring.shift(node) for node in nodes}


def test_full_changes_nothing() -> None:
    artifact = random_small_artifact(SEED)
    assert chosen(artifact, "full") == (artifact, None)


@pytest.mark.parametrize("wanted", [5, 8, 63])
def test_a_number_is_that_of_all_whose_range_allows_it(wanted: int) -> None:
    artifact = random_small_artifact(SEED)
    ring, every = chosen(artifact, wanted)[0].public.ring, compared(artifact)
    assert all(wanted <= bits < every[name] for name, bits in ring.compare_bits.items())
    assert (wanted in ring.compare_bits.values()) == (wanted < 63)
    assert artifact.public.ring.overflow_log2 <= ring.overflow_log2 < -15


def test_bits_that_would_leave_too_little_room_are_not_taken() -> None:
    found = chosen(random_small_artifact(SEED), 2)[0].public.ring  # half the range
    assert max(found.compare_bits.values()) > 2
    assert found.overflow_log2 < -15


def test_bits_by_name_are_for_comparisons_alone() -> None:
    artifact = random_small_artifact(SEED)
    name, *_ = compared(artifact)
    assert chosen(artifact, {name: 9})[0].public.ring.compare_bits == {name: 9}
    with pytest.raises(ConfigError, match=rf"expected ReLUs and max-pools \(here {name}.*\), found input"):
        chosen(artifact, {"input": 9})


@pytest.mark.parametrize("bits", [0, 1, 64, 8.5, "8", "full", None, True])
def test_bits_by_name_are_numbers_of_what_can_be_compared(bits: Any) -> None:
    with pytest.raises(ConfigError, match=r"compare_bits of a layer: expected 2 to 63, found "):
        CompareOptions(bits={"relu": bits})


@pytest.mark.parametrize("bits", [8.5, np.array([8, 8]), [8], None, True, "8"])
def test_other_values_are_refused_in_one_line(bits: Any) -> None:
    with pytest.raises(ConfigError, match=r"^compare_bits: expected full, auto or 2 to 63, found .*$"):
        CompareOptions(bits=bits)


@pytest.mark.parametrize("bits", [4, 8])
def test_scores_have_a_step_above_the_noise_of_coins(bits: int) -> None:
    """Else their coins would tell logits as finely as averaged logits do."""
    artifact = random_small_artifact(SEED)
    found = chosen(artifact, bits)[0]
    graph, ring = found.public.graph, found.public.ring
    integers, pictures = quantise_weights(graph, ring, found.weights), pictures_of(found)
    interpreter = FixedInterpreter(ring, found.masks, integers, coins=Prg(b"other coins, now"))
    drawn = logits_to_float(interpreter.run(graph, encode_input(pictures, graph, ring)), graph, ring)
    noise, step = np.abs(drawn - float_logits(found, pictures)).max(), 2.0 ** ring.score_step(graph.output)
    assert 2.0 ** artifact.public.ring.score_step(graph.output) < 2 * noise
    assert 2 * noise < step < 12 * noise  # four times, up to a power of two, that of other coins
    assert ring.score_step(graph.output) == chosen(artifact, bits)[0].public.ring.score_step(graph.output)


def test_a_bit_less_of_comparisons_does_not_make_scores_finer() -> None:
    artifact = random_small_artifact(SEED)
    coarse = changed(artifact, ring=artifact.public.ring.model_copy(update={"score_step_log2": 1}))
    assert chosen(coarse, 12)[0].public.ring.score_step_log2 == 1


def _changed(artifact: Artifact) -> float:
    """Share of labels that other coins, of more pictures, change."""
    ring, graph = artifact.public.ring, artifact.public.graph
    windows = {node.name: ring.window(node) for node in graph if node.name in ring.compare_bits}
    interpreter = FloatInterpreter(artifact.masks, artifact.weights, random_signs=(windows, Prg(b"other coins, now")))
    pictures = np.concatenate([pictures_of(artifact)] * 8)
    labels = interpreter.run(graph, torch.from_numpy(pictures)).numpy().argmax(axis=1)
    return float((labels != float_logits(artifact, pictures).argmax(axis=1)).mean())


def test_auto_keeps_labels_with_few_bits_and_says_how() -> None:
    artifact = random_small_artifact(SEED)
    every, (found, table) = compared(artifact), chosen(artifact, "auto", 0.01)
    assert table is not None
    assert _changed(found) <= 0.03
    assert table.total.value <= 0.01 == table.wanted
    assert (table.labelled, table.pictures, table.resolved) == (False, 64, False)
    ring = found.public.ring
    assert every | ring.compare_bits == table.bits
    assert sum(table.bits.values()) < sum(every.values())
    for layer in table.layers:
        node = next(node for node in artifact.public.graph if node.name == layer.name)
        assert (layer.k, layer.t, layer.kept) == (ring.comparison_bits[layer.name], ring.shift(node), every[layer.name])
        assert layer.relus == (node.active if isinstance(node, Relu) else 0)
        assert layer.alone.value <= 0.01
    assert table.layers[0].cumulative == table.layers[0].alone
    again, same = chosen(artifact, "auto", 0.01)
    assert (same, again.public.ring) == (table, ring)
    fewer, _ = chosen(artifact, "auto", 0.2)
    assert sum((every | fewer.public.ring.compare_bits).values()) <= sum(table.bits.values())


def test_a_loss_that_is_not_allowed_at_all_takes_bits_until_there_is_none() -> None:
    found, table = chosen(random_small_artifact(SEED), "auto", 0.0)
    assert table is not None
    assert table.total.value == 0
    assert _changed(found) <= 0.01


def test_the_table_says_what_so_few_pictures_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    loss = Loss(0.0005, -0.013, 0.014)
    row = ComparedLayer(name="relu1", relus=1024, k=28, t=14, kept=14, n=8, alone=loss, cumulative=loss)
    table = CompareTable(wanted=0.001, labelled=True, pictures=143, draws=28, layers=(row,))
    show_table(json.loads(json.dumps(table.as_json())))
    shown = capsys.readouterr().out
    assert [cell.strip() for cell in shown.splitlines()[4].strip("│").split("│")] == [
        *("relu1", "1,024", "28", "14", "14", "8"),
        *["+0.05 (-1.30 to +1.40)"] * 2,
    ]
    assert "143 labelled pictures, 28 draws" in shown
    assert "So few pictures tell losses to 1.4 points, not to 0.1" in shown
    sure = CompareTable(
        wanted=0.001,
        labelled=True,
        pictures=50_000,
        draws=4,
        layers=(
            ComparedLayer(
                name="relu1", relus=1, k=9, t=1, kept=8, n=7, alone=Loss(0, 0, 0), cumulative=Loss(0, -1e-4, 1e-4)
            ),
        ),
    )
    show_table(sure.as_json())
    assert "So few" not in capsys.readouterr().out


@pytest.mark.parametrize("value", ["1", "64", "-2", "eight", ""])
def test_the_command_refuses_other_words(value: str) -> None:
    result = CliRunner().invoke(export, ["run", "folder", "--compare-bits", value])
    assert result.exit_code == 2
    assert "expected auto, full or 2 to 63" in result.output


def test_auto_needs_labels_to_keep() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 1))
    artifact = random_artifact(network, (1, 4, 4), SEED, "one value")
    with pytest.raises(ConfigError, match="a network of one output, found auto"):
        chosen(artifact, "auto")
