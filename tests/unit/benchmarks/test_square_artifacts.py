"""The suffix /square of benchmark network names."""

import numpy as np
import pytest
from measuring.networks import build_named, cached_artifact

from pi_system.artifact import load
from pi_system.errors import ConfigError
from pi_system.export.random import random_pictures
from pi_system.program import mac_count, relu_count, square_count, square_layers
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import float_logits

TINY = "resnet18:m=2,classes=4,size=8"


def test_every_relu_becomes_a_square_and_nothing_else_changes(tmp_path):
    artifact, relus = (load(cached_artifact(name, tmp_path)) for name in (f"{TINY}/square", TINY))
    graph, other = artifact.public.graph, relus.public.graph
    assert (relu_count(graph), square_count(graph), square_layers(graph)) == (0, relu_count(other), 17)
    assert mac_count(graph) == mac_count(other)
    pictures = random_pictures((3, 8, 8), 4, 5)
    _, found = fixed_logits(artifact, pictures, check_range=True)
    expected = float_logits(artifact, pictures)
    assert np.abs(found - expected).max() < 0.03
    assert np.ptp(expected) > 0.1


def test_squares_take_what_other_suffixes_leave():
    network, _ = build_named(f"{TINY}/keep=34thin/square")
    kinds = [type(module).__name__ for module in network.modules()]
    assert kinds.count("Square") == 4
    assert kinds.count("MaskedReLU") == 17 - 4


@pytest.mark.parametrize("suffix", ["/square=1", "/square/keep=34", "/square/square", "/relus=9/square"])
def test_other_names_are_refused(suffix):
    with pytest.raises(ConfigError, match="square"):
        build_named(f"{TINY}{suffix}")
