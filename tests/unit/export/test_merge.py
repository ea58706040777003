import pytest
import torch
from torch import Tensor, nn

from pi_system.export.exporter import lower
from pi_system.program import mac_count
from pi_system.program.float_point import FloatInterpreter
from pi_system.train.relu import MaskedReLU

SHAPE = (4, 6, 6)


def randomised(network: nn.Module) -> nn.Module:
    """Every parameter and running statistic drawn, so that no bias or mean is zero by accident."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.3, generator=generator)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(generator=generator)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2.0, generator=generator)  # type: ignore[union-attr]
    return network.eval()


def weighted_ops(*layers: nn.Module) -> list[str]:
    """Names of the weighted nodes after lowering; the lowered graph must equal the network."""
    network = randomised(nn.Sequential(*layers))
    draft = lower(network, SHAPE)
    pictures = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(pictures)
    found = FloatInterpreter(draft.masks, draft.float_weights()).run(draft.graph(), pictures)
    assert torch.allclose(found, expected, atol=1e-4)
    return [node.name for node in draft.graph() if node.op in ("conv2d", "linear")]


def conv(c_in: int, c_out: int, kernel: int, *, padding: int = 0, **settings: object) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, padding=padding, **settings)  # type: ignore[arg-type]


FLAT = nn.Flatten()


def test_normalisation_folds_into_the_layer_before_it() -> None:
    assert weighted_ops(conv(4, 6, 3, padding=1), nn.BatchNorm2d(6), FLAT) == ["0"]
    assert weighted_ops(conv(4, 6, 3, padding=1, groups=2), nn.BatchNorm2d(6), FLAT) == ["0"]
    assert weighted_ops(FLAT, nn.Linear(144, 5), nn.BatchNorm1d(5)) == ["1"]


def test_a_small_variance_does_not_lose_its_epsilon() -> None:
    """Statistics of nearly constant channels: without epsilon the folded weights are 1.4 times as large."""
    network = nn.Sequential(conv(4, 6, 3), nn.BatchNorm2d(6), FLAT).eval()
    with torch.no_grad():
        network[1].running_var.fill_(1e-5)  # type: ignore[operator]
    draft = lower(network, SHAPE)
    pictures = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    found = FloatInterpreter(draft.masks, draft.float_weights()).run(draft.graph(), pictures)
    assert torch.allclose(found, network(pictures), rtol=1e-3)


def test_normalisation_before_a_convolution_folds_only_without_padding() -> None:
    assert weighted_ops(nn.BatchNorm2d(4), conv(4, 6, 3), FLAT) == ["0"]
    assert weighted_ops(nn.BatchNorm2d(4), conv(4, 6, 3, groups=2, stride=2), FLAT) == ["0"]
    assert weighted_ops(nn.BatchNorm2d(4), conv(4, 6, 3, padding=1), FLAT) == ["0", "1"]


def test_pre_activation_normalisation_stays_as_a_pointwise_layer() -> None:
    assert weighted_ops(nn.BatchNorm2d(4), nn.ReLU(), conv(4, 6, 3), FLAT) == ["0", "2"]


def test_pointwise_layers_merge_where_that_costs_no_more() -> None:
    assert weighted_ops(conv(4, 6, 3, padding=1), conv(6, 2, 1), FLAT) == ["0"]
    assert weighted_ops(conv(4, 6, 3, padding=1), conv(6, 2, 1, stride=2), FLAT) == ["0"]
    assert weighted_ops(conv(4, 4, 1, bias=False), conv(4, 6, 3, padding=1), FLAT) == ["0"]
    assert weighted_ops(conv(4, 4, 1), conv(4, 6, 3), FLAT) == ["0"]
    # A bottleneck is cheaper apart: 36 positions of 3x3 4->1 and 1x1 1->64, against 3x3 4->64.
    assert weighted_ops(conv(4, 1, 3, padding=1), conv(1, 64, 1), FLAT) == ["0", "1"]


def test_inexact_pairs_do_not_merge() -> None:
    assert weighted_ops(conv(4, 4, 1), conv(4, 6, 3, padding=1), FLAT) == ["0", "1"]
    assert weighted_ops(conv(4, 4, 3, padding=1), conv(4, 4, 3, padding=1), FLAT) == ["0", "1"]
    assert weighted_ops(conv(4, 4, 1, stride=2), conv(4, 6, 3), FLAT) == ["0", "1"]
    assert weighted_ops(conv(4, 4, 3, padding=1), conv(4, 4, 1, padding=1), FLAT) == ["0", "1"]


def test_linear_layers_merge_where_that_costs_no_more() -> None:
    assert weighted_ops(FLAT, nn.Linear(144, 20), nn.Linear(20, 3)) == ["1"]
    assert weighted_ops(FLAT, nn.Linear(144, 2), nn.Linear(2, 100)) == ["1", "2"]


def test_a_dropped_relu_lets_its_neighbours_merge() -> None:
    relu = MaskedReLU((6, 6, 6), stage=1, block=0)
    layers = (conv(4, 6, 3, padding=1), relu, conv(6, 2, 1), FLAT)
    assert weighted_ops(*layers) == ["0", "2"]
    relu.set_mask(torch.zeros(6, 6, 6, dtype=torch.bool))
    assert weighted_ops(*layers) == ["0"]


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(4, 4, 3, padding=1), conv(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return y + self.second(y)  # type: ignore[no-any-return]


def test_a_value_with_two_readers_is_kept() -> None:
    assert weighted_ops(Shared(), FLAT) == ["0.first", "0.second"]


class Bottlenecks(nn.Module):
    """A normalised value without a ReLU that two read: the residual and the next layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(4, 6, 1), nn.BatchNorm2d(6))
        self.next = conv(6, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        return (x + torch.relu(self.next(x))).flatten(1)


def test_a_normalised_value_with_two_readers_folds_into_the_layer_before_it() -> None:
    assert weighted_ops(Bottlenecks()) == ["0.body.0", "0.next"]


@pytest.mark.parametrize("seed", range(3))
def test_merging_never_raises_the_cost(seed: int) -> None:
    torch.manual_seed(seed)
    widths = torch.randint(1, 9, (4,)).tolist()
    network = nn.Sequential(
        *(conv(a, b, 1 if i % 2 else 3) for i, (a, b) in enumerate(zip([4, *widths], widths, strict=False))),
        nn.Flatten(),
    )
    expected, size = 0, 6
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            size -= layer.kernel_size[0] - 1
            expected += size * size * layer.weight.numel()
    assert mac_count(lower(network, SHAPE).graph()) <= expected
