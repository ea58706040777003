"""What is a sum of ReLUs is the function itself, for any parameters, and in exact numbers where values cancel."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pi_system.export.exporter import lower
from pi_system.export.faithful import check_graph_is_module
from pi_system.program.float_point import FloatInterpreter

SHAPE = (3, 4, 4)
REAL = st.floats(-3, 3, width=32)
Body = Callable[[Tensor], Tensor]


class Net(nn.Module):
    """A function of a convolution, whose values are about ``scale``."""

    def __init__(self, body: Body, scale: float) -> None:
        super().__init__()
        self.conv, self.body = nn.Conv2d(3, 4, 3, padding=1), body
        with torch.no_grad():
            self.conv.weight.mul_(scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.conv(x))


def slopes(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


FUNCTIONS: st.SearchStrategy[Body] = st.one_of(
    REAL.map(lambda slope: lambda x: F.leaky_relu(x, slope)),
    st.lists(REAL, min_size=4, max_size=4).map(lambda values: lambda x: F.prelu(x, slopes(values).to(x))),
    REAL.map(lambda slope: lambda x: F.prelu(x, slopes([slope]).to(x))),
    st.tuples(REAL, REAL).map(lambda both: lambda x: x.clamp(min(both), max(both))),
    REAL.map(lambda bound: lambda x: x.clamp(min=bound)),
    REAL.map(lambda bound: lambda x: x.clamp(max=bound)),
    st.tuples(REAL, REAL).map(lambda both: lambda x: F.hardtanh(x, min(both) - 0.1, max(both) + 0.1)),
    st.just(F.relu6),
    st.just(F.hardsigmoid),
    st.just(F.hardswish),
    st.just(torch.abs),
    REAL.map(lambda bound: lambda x: F.threshold(x, bound, bound)),
    REAL.map(lambda width: lambda x: F.softshrink(x, abs(width))),
    REAL.map(lambda factor: lambda x: torch.maximum(x, factor * x.flip(1))),
    REAL.map(lambda factor: lambda x: torch.minimum(factor * x, x.flip(2) - 1)),
    REAL.map(lambda factor: lambda x: torch.maximum(x, torch.tensor(factor))),
    REAL.map(lambda factor: lambda x: x * (factor * x.mean((2, 3), keepdim=True) + 1)),
)


@settings(max_examples=80, deadline=None)
@given(body=FUNCTIONS, scale=st.sampled_from([0.01, 1.0, 100.0]), seed=st.integers(0, 2**16))
def test_the_lowered_graph_is_the_function(body: Body, scale: float, seed: int) -> None:
    torch.manual_seed(seed)
    network = Net(body, scale).double().eval()
    draft = lower(network, SHAPE)
    pictures = torch.randn(3, *SHAPE, dtype=torch.float64)
    with torch.no_grad():
        expected = network.float().double()(pictures).flatten(1)
    interpreter = FloatInterpreter(draft.masks, draft.exact_weights(), dtype=torch.float64)
    found = interpreter.run(draft.graph(), pictures)
    assert float((found - expected).abs().max()) <= 1e-6 * max(1.0, float(expected.abs().max()))


def test_large_values_before_a_small_bound_are_not_refused() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardtanh(-0.3, 6.1), nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():
        network[0].weight.mul_(1e6)  # type: ignore[operator]
    pictures = np.random.default_rng(0).normal(size=(16, *SHAPE)).astype(np.float32)
    assert check_graph_is_module(network.eval(), lower(network, SHAPE), pictures, "large") is None
