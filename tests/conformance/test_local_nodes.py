"""Nodes that move, negate and shift values, on every fast backend against the fixed-point oracle: nothing is sent."""

from pathlib import Path

import numpy as np
import pytest
from local_nodes import local_artifact
from parties import BACKENDS, secure_logits

from pi_system.export.random import random_pictures
from pi_system.program.error_bound import artifact_ulp_bound
from pi_system.program.fixed_point import fixed_logits
from pi_system.secure.schedule import plan


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ring_bits", [32, 59])
def test_logits_stay_within_the_stated_ulps(backend: str, ring_bits: int, tmp_path: Path) -> None:
    artifact = local_artifact(ring_bits)
    graph, ring = artifact.public.graph, artifact.public.ring
    pictures = random_pictures(graph.input.shape, 3, 9)
    expected, real = fixed_logits(artifact, pictures, check_range=True)
    logits, _, _ = secure_logits(backend, artifact, pictures, tmp_path)
    found = logits * 2.0 ** ring.frac_bits[graph.output]
    assert (np.abs(found - expected) <= artifact_ulp_bound(artifact)).all()
    assert np.abs(logits - real).max() < (0.2 if backend == "table" else 0.05)  # signs near zero are coins there


def test_they_are_no_step_of_an_inference() -> None:
    artifact = local_artifact(32)
    steps = plan(artifact.public.graph, artifact.public.ring, artifact.masks, "logits").steps
    names = {str(getattr(step, "name", "")) for step in steps}
    assert names & {"relu", "last"} == {"relu", "last"}
    assert not any(name in names for name in ("kept", "other", "below", "sign", "shifted", "sums", "back"))
