import numpy as np
import torch
from random_networks import random_network
from tiny_artifact import tiny_artifact

from pi_system.export.random import random_artifact, random_pictures, randomise
from pi_system.program.float_point import FloatInterpreter, float_logits


def test_masked_relu_keeps_inactive_positions() -> None:
    artifact = tiny_artifact()
    seen = {}
    interpreter = FloatInterpreter(
        artifact.masks, artifact.weights, observe=lambda node, value: seen.update({node.name: value})
    )
    interpreter.run(artifact.public.graph, torch.tensor([[[[1.0, -1.0], [0.5, 2.0]]]]))
    mask = torch.from_numpy(artifact.masks["relu"])
    before, after = seen["conv"][0], seen["relu"][0]
    assert torch.equal(after[~mask], before[~mask])
    assert torch.equal(after[mask], before[mask].clamp(min=0))
    assert (before[~mask] < 0).any()


def test_numpy_and_torch_give_the_module_s_logits() -> None:
    network, shape = random_network(7)
    artifact = random_artifact(network, shape, 7, "random:7")
    pictures = random_pictures(shape, 5, 1)
    with torch.no_grad():
        expected = randomise(network, shape, 7)(torch.from_numpy(pictures))
    interpreter = FloatInterpreter(artifact.masks, artifact.weights)
    found = interpreter.run(artifact.public.graph, torch.from_numpy(pictures))
    assert torch.allclose(found, expected, atol=5e-3)  # weights are rounded at export
    assert np.array_equal(float_logits(artifact, pictures), found.numpy())
