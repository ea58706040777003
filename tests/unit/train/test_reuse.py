import numpy as np
import pytest
import torch

from pi_system.artifact.preprocess import Preprocess
from pi_system.errors import ConfigError
from pi_system.export import QuantiseOptions, export_network
from pi_system.program.fixed_point import fixed_logits
from pi_system.program.float_point import float_logits
from pi_system.train import NetworkSpec, ReluMap, build_network
from pi_system.train.relu import MaskedReLU
from pi_system.train.reuse import ReusedReLU


@pytest.mark.parametrize(("channels", "groups"), [(8, 2), (8, 4), (7, 3), (2, 4)])
def test_other_groups_get_what_the_last_one_gives(channels: int, groups: int) -> None:
    layer = ReusedReLU(MaskedReLU((channels, 3, 3), stage=1, block=0), groups)
    x = torch.randn(5, channels, 3, 3)
    kept = max(channels // groups, 1)
    given = x[:, -kept:].clamp(min=0)
    expected = [x[:, c] + given[:, c % kept] for c in range(channels - kept)] + list(given.unbind(1))
    assert torch.equal(layer(x), torch.stack(expected, dim=1))
    assert layer.relu.active == kept * 9
    layer.relu.set_mask(layer.relu.mask & False)
    assert torch.equal(layer(x), x)


def test_a_name_with_reuse_has_a_part_of_the_relus_and_no_new_weights() -> None:
    spec = NetworkSpec.parse("resnet18:m=8,size=8,channels=1,classes=10,reuse=4")
    assert str(spec) == "resnet18:m=8,classes=10,size=8,channels=1,reuse=4"
    network, whole = (build_network(NetworkSpec.parse(name), seed=1) for name in (str(spec), str(spec)[:-8]))
    assert ReluMap.of(network).count * 4 == ReluMap.of(whole).count
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in whole.named_parameters()}
    assert torch.equal(network.fc.weight, whole.fc.weight)
    assert build_network(spec, device="meta").stem_relu.relu.active == network.stem_relu.relu.active  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="expected reuse=1 with activation=square"):
        NetworkSpec.parse("resnet18:m=8,reuse=2,activation=square")
    with pytest.raises(ConfigError, match="expected reuse=1 with filters"):
        NetworkSpec.parse("resnet18:m=8,reuse=2,filters=4.4")


@pytest.mark.parametrize("name", ["resnet18:m=4", "wrn-16-2:m=2", "vgg16:m=4", "resnet50:m=1"])
def test_the_exported_network_is_the_same_function(name: str) -> None:
    network = build_network(NetworkSpec.parse(f"{name},size=8,channels=1,classes=10,reuse=2"), seed=0).eval()
    pictures = torch.randn(32, 1, 8, 8)
    with torch.no_grad():
        expected = network(pictures).numpy()
    plain = Preprocess(channels=1, height=8, width=8, mean=(0.0,), std=(1.0,), classes=tuple("0123456789"))
    # Untrained, and without ReLUs on half of its positions: only a ring for backends with a dealer is exact enough.
    options = QuantiseOptions(ring_bits=64 if name.startswith("resnet50") else None)
    artifact = export_network(network, plain, pictures.numpy(), "reuse", options)
    scale = max(1.0, np.abs(expected).max())
    assert np.abs(float_logits(artifact, pictures.numpy()) - expected).max() < 0.02 * scale
    assert np.abs(fixed_logits(artifact, pictures.numpy(), check_range=True)[1] - expected).max() < 0.05 * scale
