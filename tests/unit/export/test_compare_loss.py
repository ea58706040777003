"""Losses are paired, their intervals cover, and few pictures without a change prove little."""

import numpy as np
import pytest
from changed_artifact import with_compare_bits
from random_networks import random_small_artifact

from pi_system.export.compare_loss import Judged, WindowJudge, paired_loss
from pi_system.export.random import random_pictures


@pytest.mark.parametrize("count", [20, 143, 5000])
def test_no_change_proves_less_the_fewer_pictures_there_are(count: int) -> None:
    found = paired_loss(np.zeros(count))
    assert found.value == 0
    assert found.high == -found.low == pytest.approx(1.96 * 2**0.5 / (count + 2))


@pytest.mark.parametrize(("lost", "gained"), [(0.02, 0.01), (0.002, 0.0), (0.05, 0.05)])
def test_the_interval_covers_the_true_loss(lost: float, gained: float) -> None:
    rng = np.random.default_rng(1)
    chances = (lost, gained, 1 - lost - gained)
    intervals = [paired_loss(rng.choice([1.0, -1.0, 0.0], 1000, p=chances)) for _ in range(1000)]
    covered = np.mean([one.low <= lost - gained <= one.high for one in intervals])
    assert covered > 0.93
    assert all(one.low <= one.value <= one.high for one in intervals)


def test_a_change_for_the_better_is_no_loss() -> None:
    artifact = random_small_artifact(4)
    graph = artifact.public.graph
    pictures = random_pictures(graph.input.shape, 48, 1)
    ring = with_compare_bits(artifact, 2).public.ring
    windows = {node.name: ring.window(node) for node in graph if node.name in ring.compare_bits}
    exact = WindowJudge(artifact, Judged(pictures))
    assert not exact.labelled
    assert exact({}).changed == exact({}).loss.value == 0
    kept = exact(windows)
    assert kept.loss.value == pytest.approx(kept.changed)
    assert kept.changed > 0
    # Judged against labels that exact signs never give, coins can only win.
    classes = graph.nodes[-1].shape[0]
    other = WindowJudge(artifact, Judged(pictures, (exact._exact + 1) % classes))
    won = other(windows)
    assert won.loss.value < 0
    assert won.changed == kept.changed
    assert other(windows) == won  # the same coins


def test_few_pictures_get_more_draws_and_a_number_is_kept() -> None:
    artifact = random_small_artifact(4)
    pictures = random_pictures(artifact.public.graph.input.shape, 300, 1)
    few, many = WindowJudge(artifact, Judged(pictures[:40])), WindowJudge(artifact, Judged(pictures))
    assert (few.count, few.draws) == (40, 32)
    assert (many.count, many.draws) == (300, 13)
    assert WindowJudge(artifact, Judged(pictures), most=100).count == 100
