"""What is revealed equals the plaintext rule, under every backend, for logits that a test chooses exactly."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from changed_artifact import runnable
from chosen_logits import chosen_logits_artifact, pictures_of
from oracle import clear_labels
from parties import BACKENDS, infer, make_parties, prepare, prepared, secure_logits
from random_networks import random_small_artifact

from pi_system.export.random import random_pictures
from pi_system.program.reveal import REVEALS, Reveal, outputs_to_float, revealed
from pi_system.secure.reveal import FAN_OUT, group_sizes

RINGS = ((32, 14), (32, 31), (59, 27), (59, 36))
"""Ring bits and logit bits: narrow, as wide as the ring allows, usual, as wide as gmw compares."""


def _logits(rng: Any, classes: Any, bits: int, step: Any) -> Any:
    """Rows of integers |x| < 2^(bits-1): anything, extremes, ties, near ties, next to where rounding turns."""
    top = (1 << (bits - 1)) - 1
    rows = [rng.integers(-top, top, classes, endpoint=True) for _ in range(2)]
    rows += [np.full(classes, top), np.full(classes, -top), rng.choice([-top, top], classes)]
    rows += [np.zeros(classes), rng.integers(-1, 2, classes)]
    rows += [step // 2 + rng.integers(-2, 2, classes) - step * rng.integers(0, 2, classes)]
    return np.stack(rows).astype(np.int64).clip(-top, top)


RULES = [
    *((bits, logit_bits, 9, 10, reveal) for bits, logit_bits in RINGS for reveal in REVEALS),
    *((59, logit_bits, shift, 5, "scores") for shift, logit_bits in [(1, 2), (1, 20), (18, 20), (33, 35)]),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("ring_bits", "logit_bits", "shift", "classes", "reveal"), RULES)
def test_exactly_the_plaintext_rule(
    ring_bits: int, logit_bits: int, shift: int, classes: int, reveal: Reveal, backend: str, tmp_path: Path
) -> None:
    artifact = chosen_logits_artifact(ring_bits, logit_bits, classes=classes, shift=shift)
    graph, ring = artifact.public.graph, artifact.public.ring
    expected = _logits(np.random.default_rng(logit_bits), classes, logit_bits, 1 << shift)
    found, _, _ = secure_logits(backend, artifact, pictures_of(expected, ring), tmp_path, reveal=reveal)
    np.testing.assert_array_equal(found, outputs_to_float(revealed(expected, graph, ring, reveal), graph, ring, reveal))


@pytest.mark.parametrize("backend", ["fss", "gmw", "table"])
@pytest.mark.parametrize(
    ("classes", "ring_bits", "logit_bits"),
    [(1, 59, 20), (2, 59, 20), (3, 59, 20), (16, 59, 20), (17, 59, 20), (17, 32, 31), (100, 59, 20), (300, 59, 20)],
)
def test_label_of_any_number_of_classes(
    classes: int, ring_bits: int, logit_bits: int, backend: str, tmp_path: Path
) -> None:
    artifact = chosen_logits_artifact(ring_bits, logit_bits, classes, shift=4)
    expected = _logits(np.random.default_rng(classes), classes, logit_bits, 16)
    found, _, _ = secure_logits(
        backend, artifact, pictures_of(expected, artifact.public.ring), tmp_path, reveal="label"
    )
    np.testing.assert_array_equal(found[:, 0], expected.argmax(axis=1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_material_serves_the_policy_it_was_made_for(backend: str, tmp_path: Path) -> None:
    artifact = chosen_logits_artifact(59, 20, 3, shift=6)
    prepared(backend, artifact, tmp_path, 1, reveal="label")
    for reveal, held in (("scores", 0), ("logits", 0), ("label", 1)):
        assert make_parties(backend, artifact, tmp_path, reveal=reveal)[1].available() == held


@pytest.mark.parametrize("classes", [1, 2, FAN_OUT, FAN_OUT + 1, 100, FAN_OUT**2 + 1, 1000])
def test_groups_hold_all_classes_in_as_few_levels_as_possible(classes: int) -> None:
    sizes = group_sizes(classes)
    left = classes
    for size in sizes:
        assert 2 <= size <= FAN_OUT
        left = -(-left // size)
    assert left == 1
    assert len(sizes) == 0 if classes == 1 else FAN_OUT ** (len(sizes) - 1) < classes


ASKED = {"fss": (40, 4), "gmw": (6, 3), "gc": (6, 3), "table": (6, 3)}
"""(pictures, times each); ``PI_ASK_AGAIN=100,60`` for all of them instead."""


@pytest.mark.parametrize("backend", BACKENDS)
def test_under_the_default_policy_asking_again_gives_the_same_answer(backend: str, tmp_path: Path) -> None:
    """Whatever noise the logits have, near ties apart, of which there may be few."""
    artifact = runnable(backend, random_small_artifact(0))
    pictures, repeats = map(int, os.environ.get("PI_ASK_AGAIN", "{},{}".format(*ASKED[backend])).split(","))
    asked = random_pictures(artifact.public.graph.input.shape, pictures, 3)
    clear, expected = clear_labels(artifact, asked)
    assert clear.mean() > 0.5
    assert len(set(expected)) > 1
    server, client = make_parties(backend, artifact, tmp_path, reveal="label")
    for _ in range(repeats):
        prepare(server, client, pictures)
        labels, _, _ = infer(server, client, asked)
        assert (labels[clear, 0] == expected).all()
