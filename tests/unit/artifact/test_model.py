from typing import Any

import numpy as np
import pytest
from tiny_artifact import GRAPH, PREPROCESS, RING, tiny_artifact

from pi_system.artifact import Artifact, Preprocess
from pi_system.errors import ArtifactError


def create(**changes: Any) -> Artifact:
    tiny = tiny_artifact()
    parts: dict[str, Any] = {
        "name": "tiny",
        "graph": GRAPH,
        "ring": RING,
        "preprocess": PREPROCESS,
        "masks": tiny.masks,
        "weights": tiny.weights,
    }
    return Artifact.create(**(parts | changes))


def test_two_artifacts_of_one_network_differ_in_identity_and_commitment() -> None:
    first, second = create(), create()
    assert first.public.model_id != second.public.model_id
    assert first.public.weights_commitment != second.public.weights_commitment
    assert first.public.digest != second.public.digest
    assert first.public.masks_digest == second.public.masks_digest


def test_an_artifact_without_a_step_of_scores_keeps_its_digest() -> None:
    before = tiny_artifact().public.model_copy(update={"ring": RING.model_copy(update={"score_step_log2": None})})
    assert b"score_step" not in before.canonical_json()
    after = before.model_copy(update={"ring": RING.model_copy(update={"score_step_log2": -2})})
    assert b'"score_step_log2":-2' in after.canonical_json()
    assert before.digest != after.digest


@pytest.mark.parametrize("kind", ["missing", "extra", "shape", "dtype", "nan"])
def test_weights_that_do_not_fit_the_graph_are_refused(kind: str) -> None:
    weights = {name: tensor.copy() for name, tensor in tiny_artifact().weights.items()}
    if kind == "missing":
        del weights["fc.bias"]
    elif kind == "extra":
        weights["other"] = np.zeros(1, dtype=np.float32)
    elif kind == "shape":
        weights["fc.bias"] = np.zeros(3, dtype=np.float32)
    elif kind == "dtype":
        weights["fc.bias"] = weights["fc.bias"].astype(np.float64)
    else:
        weights["fc.bias"][0] = np.nan
    with pytest.raises(ArtifactError, match=r"other|fc\.bias"):
        create(weights=weights)


@pytest.mark.parametrize("kind", ["missing", "shape", "dtype", "count"])
def test_masks_that_do_not_fit_the_graph_are_refused(kind: str) -> None:
    mask = tiny_artifact().masks["relu"].copy()
    masks: dict[str, Any] = {"relu": mask}
    if kind == "missing":
        masks = {}
    elif kind == "shape":
        masks["relu"] = mask[:1]
    elif kind == "dtype":
        masks["relu"] = mask.astype(np.uint8)
    else:
        mask[0, 0, 0] = False
    with pytest.raises(ArtifactError, match="ReLU map"):
        create(masks=masks)


def test_preprocessing_must_make_the_input_and_name_the_classes() -> None:
    with pytest.raises(ArtifactError, match="preprocess"):
        create(preprocess=PREPROCESS.model_copy(update={"height": 3}))
    with pytest.raises(ArtifactError, match="classes"):
        create(preprocess=PREPROCESS.model_copy(update={"classes": ("a", "b", "c")}))


def test_class_names_with_control_characters_are_refused() -> None:
    with pytest.raises(ValueError, match="printable"):
        Preprocess(channels=1, height=2, width=2, mean=(0.5,), std=(0.25,), classes=("ok", "\x1b[2J"))


def test_weights_and_salt_are_not_in_the_repr() -> None:
    assert "salt" not in repr(tiny_artifact())
    assert "weights=" not in repr(tiny_artifact())
