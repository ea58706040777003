import numpy as np
import pytest
from random_networks import random_small_artifact

from pi_system.artifact.ring_config import RingConfig
from pi_system.export.score_step import NOISE_STEPS, choose_score_step, labels_kept


def ring(frac_bits: int, logit_bits: int) -> RingConfig:
    return RingConfig(
        ring_bits=59, frac_bits={"out": frac_bits}, weight_frac_bits={}, comparison_bits={}, logit_bits=logit_bits
    )


@pytest.mark.parametrize(("error", "expected"), [(0.015, -4), (0.0156251, -3), (2.0**-6, -4), (0.0, -19), (1e-9, -19)])
def test_the_smallest_power_of_two_above_the_noise_that_drops_a_bit(error, expected):
    step = choose_score_step(ring(20, 27), "out", error)
    assert step == expected
    assert 2.0**step >= NOISE_STEPS * error


def test_two_bits_of_a_logit_are_left():
    assert choose_score_step(ring(20, 27), "out", 1e9) == 5


def test_labels_stay_unless_the_two_best_share_a_score():
    logits = np.array([[0.0, 1.0], [1.0, 0.0], [0.9, 1.0], [1.0, 0.9], [0.4, 0.6]])
    assert labels_kept(logits, 0) == 0.8  # 0.9 and 1.0 both become 1: the third row's label goes
    assert labels_kept(logits, -4) == 1.0


def test_an_exported_artifact_has_a_step_above_its_own_error():
    artifact = random_small_artifact(3)
    config, output = artifact.public.ring, artifact.public.graph.output
    assert config.score_step_log2 is not None
    assert 1 - config.frac_bits[output] <= config.score_step_log2 < config.logit_bits - config.frac_bits[output]
