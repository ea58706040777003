"""Every channel of a weighted layer is computed once an inference, whichever of its positions have a ReLU."""

from collections import Counter

import pytest
from parties import secure_logits
from random_networks import random_small_artifact

from pi_system.artifact.graph import Conv2d, Linear, Relu
from pi_system.export.random import random_pictures
from pi_system.secure.ring_layer import LazyLayer


@pytest.mark.parametrize("backend", ["fss", "gmw"])
def test_a_layer_under_a_masked_relu_is_computed_once(backend, tmp_path, monkeypatch):
    artifact = random_small_artifact(0)
    graph = artifact.public.graph
    assert any(isinstance(node, Relu) and node.masked for node in graph)
    computed, channels = Counter(), LazyLayer.channels

    def counted(layer, first, last):
        if layer._offset is not None:  # online, at the server
            computed[layer._layer.node.name] += last - first
        return channels(layer, first, last)

    monkeypatch.setattr(LazyLayer, "channels", counted)
    secure_logits(backend, artifact, random_pictures(graph.input.shape, 1, 0), tmp_path)
    assert computed == {node.name: node.shape[0] for node in graph if isinstance(node, Conv2d | Linear)}
