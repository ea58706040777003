import numpy as np
import pytest
import torch
from measuring.reference import Reference
from scaled_artifact import relu_artifact

from pi_system.export.random import random_pictures
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import float_logits

ARTIFACT = relu_artifact(0.1)
PICTURES = random_pictures((1, 8, 8), 3, 5)


@pytest.fixture
def reference() -> Reference:
    return Reference(ARTIFACT, PICTURES)


def test_exact_fixed_point_logits_have_no_ulps(reference: Reference) -> None:
    error = reference.error(1, fixed_logits(ARTIFACT, PICTURES[1:])[1])
    assert error.ulps == 0
    assert error.bounded
    assert error.absolute < 0.1


def test_float_logits_have_no_absolute_error(reference: Reference) -> None:
    assert reference.error(0, float_logits(ARTIFACT, PICTURES).astype(np.float64)).absolute < 1e-6


def test_one_wrong_logit_is_seen(reference: Reference) -> None:
    logits = fixed_logits(ARTIFACT, PICTURES)[1]
    logits[2, 4] += 5.0
    error = reference.error(0, logits)
    assert error.absolute > 4.9
    assert error.ulps == 5 * 2**14  # the logits' fraction bits
    assert not error.bounded


def test_logits_of_another_picture_are_not_accepted(reference: Reference) -> None:
    first = fixed_logits(ARTIFACT, PICTURES)[1][:1]
    assert reference.error(0, first).ulps == 0
    assert reference.error(1, first).ulps > 0


def test_convolutions_are_a_part_of_the_time(reference: Reference) -> None:
    runs = reference.run_timed(0, 3, core=0, runs=2)
    assert len(runs) == 2
    assert all(0 < run.conv_ms < run.total_ms for run in runs)
    assert torch.get_num_threads() == 1
