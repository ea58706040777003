"""Gather, affine and sums of windows under the plaintext interpreters, and what an artifact refuses of them."""

import numpy as np
import pytest
import torch
from local_nodes import local_artifact, local_draft
from pydantic import ValidationError

from pi_system.artifact import public_from_bytes, public_to_bytes
from pi_system.artifact.graph import AvgPool2d, Gather, Graph, Input
from pi_system.artifact.shapes import check_graph
from pi_system.errors import ArtifactError
from pi_system.export.random import random_pictures
from pi_system.program import count_nodes
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import FloatInterpreter, float_logits


def gathered(*offsets: tuple[int, ...]) -> Graph:
    nodes = (
        Input(name="x", inputs=(), shape=(2, 2, 3)),
        Gather(name="g", inputs=("x",), shape=tuple(map(len, offsets)), offsets=offsets),
    )
    return Graph(nodes=nodes)


def test_a_gather_reads_the_sum_of_its_offsets_and_zero_where_one_is_missing() -> None:
    graph = gathered((6, 0), (3, -1, 0), (2, 0))
    check_graph(graph)
    x = torch.arange(1.0, 13.0).reshape(1, 2, 2, 3)
    found = FloatInterpreter({}, {}).run(graph, x)[0]
    assert found.tolist() == [[[12, 10], [0, 0], [9, 7]], [[6, 4], [0, 0], [3, 1]]]


@pytest.mark.parametrize("offsets", [((12,),), ((6, 0), (3, 0), (3,)), ((1 << 20, -1),)])
def test_a_gather_beyond_its_input_is_refused(offsets: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ArtifactError, match="positions"):
        check_graph(gathered(*offsets))


def test_a_negative_offset_other_than_zero_is_refused() -> None:
    with pytest.raises(ValidationError):
        gathered((-2,))


def test_fixed_point_is_the_float_network() -> None:
    artifact = local_artifact(32)
    pictures = random_pictures(artifact.public.graph.input.shape, 20, 8)
    difference = fixed_logits(artifact, pictures, check_range=True)[1] - float_logits(artifact, pictures)
    assert np.abs(difference).max() < 0.05


def test_a_graph_with_them_is_of_format_three_and_survives_the_wire() -> None:
    artifact = local_artifact(32)
    assert artifact.public.format_version == 3
    assert public_from_bytes(public_to_bytes(artifact)).public == artifact.public


def test_an_average_keeps_the_json_it_had() -> None:
    node = AvgPool2d(name="p", inputs=("x",), shape=(1, 1, 1), kernel=(2, 2), stride=(2, 2), padding=(0, 0))
    assert "summed" not in node.model_dump(mode="json")
    assert node.model_copy(update={"summed": True}).model_dump(mode="json")["summed"] is True


def test_a_shift_counts_its_bias_and_nothing_else() -> None:
    rows = {row.name: row for row in count_nodes(local_draft().graph())}
    assert (rows["below"].parameters, rows["sign"].parameters, rows["kept"].parameters) == (4, 0, 0)
    assert all(rows[name].macs == rows[name].relus == 0 for name in ("below", "sign", "kept", "sums"))
