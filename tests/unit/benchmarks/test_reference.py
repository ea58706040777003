"""Expected logits, plaintext times, and the floor below which no protocol gets."""

import numpy as np
import pytest
import torch
from measuring.reference import Reference, floor_ms
from scaled_artifact import relu_artifact

from pi_system.channel.link import LINKS, Link
from pi_system.export.random import random_pictures
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import float_logits

ARTIFACT = relu_artifact(0.1)
PICTURES = random_pictures((1, 8, 8), 3, 5)
FIXED = fixed_logits(ARTIFACT, PICTURES)[1]


@pytest.fixture
def reference() -> Reference:
    return Reference(ARTIFACT, PICTURES)


def test_exact_logits_have_no_error(reference: Reference) -> None:
    error = reference.error(1, FIXED[1:])
    assert error.ulps == 0
    assert error.bounded
    assert error.absolute < 0.1
    assert reference.error(0, float_logits(ARTIFACT, PICTURES).astype(np.float64)).absolute < 1e-6


def test_one_wrong_logit_is_seen_and_so_is_another_picture(reference: Reference) -> None:
    logits = FIXED.copy()
    logits[2, 4] += 5.0
    error = reference.error(0, logits)
    assert error.absolute > 4.9
    assert error.ulps == 5 * 2**14  # the logits' fraction bits
    assert not error.bounded
    assert reference.error(0, FIXED[:1]).ulps == 0
    assert reference.error(1, FIXED[:1]).ulps > 0


def test_convolutions_are_a_part_of_the_time(reference: Reference) -> None:
    runs = reference.run_timed(0, 3, core=0, runs=2)
    assert len(runs) == 2
    assert all(0 < run.conv_ms < run.total_ms for run in runs)
    assert torch.get_num_threads() == 1


def test_the_floor_counts_the_busier_direction_and_every_round_trip() -> None:
    much = {"sent_bytes": 10**7, "received_bytes": 10**6, "round_trips": 18}
    assert floor_ms(11.0, **much, link=LINKS["loopback"]) == 11.0
    link = Link(8e6, 0.01)  # a byte takes a microsecond
    found = floor_ms(1.0, sent_bytes=1448 * 10, received_bytes=1448, round_trips=3, link=link)
    assert found == pytest.approx(1.0 + 15.0 + 30.0)  # ten packets of 1500 bytes, three times 10 ms
