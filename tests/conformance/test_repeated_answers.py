"""What docs/explanation/scores.md says of answers to the same picture: who repeats them, how far they differ."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlp_artifact import mlp_artifact
from oracle import assert_within_ulps
from parties import secure_logits

from pi_system.export.random import random_pictures

_TIMES = 6


def answers(backend: str, folder: Path) -> Any:
    """Logits (times, classes) of one picture."""
    artifact = mlp_artifact("relu")
    (picture,) = random_pictures(artifact.public.graph.input.shape, 1, 7)
    same = np.stack([picture] * _TIMES)
    logits, _, _ = secure_logits(backend, artifact, same, folder)
    assert_within_ulps(artifact, same, logits)
    return logits


@pytest.mark.parametrize("backend", ["gmw", "gc"])
def test_exact_rounding_gives_the_same_logits_each_time(backend: str, tmp_path: Path) -> None:
    assert (answers(backend, tmp_path) == answers(backend, tmp_path)[0]).all()


def test_rounding_by_coins_gives_others_within_the_stated_error(tmp_path: Path) -> None:
    assert len(np.unique(answers("fss", tmp_path), axis=0)) > 1
