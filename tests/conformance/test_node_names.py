"""A network may name its nodes as it likes: no name meets one of the runtime's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from changed_artifact import changed
from mlp_artifact import mlp_artifact
from parties import BACKENDS, secure_logits

from pi_system.artifact import Artifact
from pi_system.artifact.graph import Graph
from pi_system.secure.layout import Layout

V = TypeVar("V")
NAMES = ("seed", "output", "salt", "label", "scores", "material")


def renamed(old: str, new: str) -> Artifact:
    artifact = mlp_artifact("relu")

    def keys(values: Mapping[str, V]) -> dict[str, V]:
        return {(new if key == old else key): value for key, value in values.items()}

    nodes = [
        n.model_copy(
            update={
                "name": new if n.name == old else n.name,
                "inputs": tuple(new if i == old else i for i in n.inputs),
            }
        )
        for n in artifact.public.graph.nodes
    ]
    ring = artifact.public.ring
    bits = {name: keys(getattr(ring, name)) for name in ("frac_bits", "weight_frac_bits", "comparison_bits")}
    return changed(artifact, graph=Graph(nodes=tuple(nodes)), ring=ring.model_copy(update=bits))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_relu_of_any_name_is_evaluated(backend: str, name: str, tmp_path: Path) -> None:
    picture = np.zeros((1, 1, 8, 8), np.float32)
    expected, _, _ = secure_logits(backend, mlp_artifact("relu"), picture, tmp_path / "a", reveal="label")
    found, _, _ = secure_logits(backend, renamed("relu", name), picture, tmp_path / "b", reveal="label")
    np.testing.assert_array_equal(found, expected)


def test_two_sections_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two of seed"):
        Layout.of([("seed", 16), ("seed", 32)])
