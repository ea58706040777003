"""Straight pieces in the place of smooth functions: the error that is stated holds, and is stated."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

import pi_system as pi
from pi_system.errors import ConfigError, UnsupportedLayerError
from pi_system.export.compile import compile_network
from pi_system.export.exporter import lower
from pi_system.export.faithful import check_graph_is_module
from pi_system.export.job import accuracy_stated
from pi_system.export.straight import Span, straight_pieces
from pi_system.export.trace import Smooth, finished
from pi_system.program.float_point import FloatInterpreter

SHAPE = (3, 6, 6)
PICTURES = np.random.default_rng(0).normal(size=(24, *SHAPE)).astype(np.float32)

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "mish": F.mish,
    "elu": F.elu,
    "celu": lambda x: F.celu(x, 0.5),
    "selu": F.selu,
    "softplus": lambda x: F.softplus(x, 2.0),
    "log_sigmoid": F.logsigmoid,
    "erf": torch.erf,
    "atan": torch.atan,
}


def over(function: Callable[[Tensor], Tensor]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda x: np.asarray(function(torch.from_numpy(x)).numpy())


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=12, deadline=None)
@given(low=st.floats(-9, 3), width=st.floats(0.1, 12), allowed=st.sampled_from([0.1, 0.03, 0.01]))
def test_pieces_are_within_what_is_allowed(name: str, low: float, width: float, allowed: float) -> None:
    function = over(FUNCTIONS[name])
    pieces = straight_pieces(function, (low, low + width), allowed, (0.0,) if name == "selu" else ())
    grid = np.linspace(low - width / 4, low + 1.25 * width, 5003)
    assert pieces.error <= allowed
    assert np.abs(function(grid) - pieces(grid)).max() <= 1.01 * pieces.error + 1e-9


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "atan"])
def test_where_a_function_becomes_a_line_the_error_holds_everywhere(name: str) -> None:
    pieces = straight_pieces(over(FUNCTIONS[name]), (-40.0, 40.0), 0.01, (0.0,))
    far = np.array([-500.0, -90.0, 90.0, 500.0])
    assert np.abs(over(FUNCTIONS[name])(far) - pieces(far)).max() <= 0.01


def test_few_pieces_are_taken() -> None:
    span: Span = (-6.0, 6.0)
    counts = [len(straight_pieces(over(F.silu), span, allowed).knots) for allowed in (0.1, 0.01, 0.001)]
    assert counts[0] <= 5
    assert counts[1] <= 12
    assert counts[2] <= 40
    assert counts == sorted(counts)


def test_an_error_that_no_64_pieces_reach_is_refused() -> None:
    with pytest.raises(ConfigError, match="64 straight pieces"):
        straight_pieces(np.sin, (-300.0, 300.0), 0.01)


class Net(nn.Module):
    def __init__(self, body: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.body = nn.Conv2d(3, 4, 3, padding=1), body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(2 * self.conv(x))


def outputs(network: nn.Module, allowed: float) -> tuple[Tensor, Tensor, float]:
    """Of the lowered graph and of the module, and the largest error of a function that is stated."""
    draft = lower(network, SHAPE, Smooth(PICTURES, allowed))
    batch = torch.from_numpy(PICTURES)
    with torch.no_grad():
        expected = network(batch).flatten(1)
    found = finished(FloatInterpreter(draft.masks, draft.float_weights()).run(draft.graph(), batch), draft.finals)
    return found, expected, max((error for _, error in draft.approximated), default=0.0)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in ("sigmoid", "log_sigmoid")])
@pytest.mark.parametrize("form", ["map", "vector"])
def test_a_function_in_a_network_is_met_to_its_error(name: str, form: str) -> None:
    function = FUNCTIONS[name]
    body = function if form == "map" else lambda x: function(x.mean((2, 3)))
    found, expected, stated = outputs(Net(body), 0.02)
    assert 0 < stated <= 0.02
    assert float((found - expected).abs().max()) <= stated + 1e-4


def test_a_sigmoid_is_left_out_at_the_end_and_replaced_inside() -> None:
    found, expected, stated = outputs(Net(lambda x: torch.sigmoid(x.mean((2, 3)))), 0.02)
    assert stated == 0
    assert torch.allclose(found, expected, atol=1e-5)
    found, expected, stated = outputs(Net(lambda x: torch.sigmoid(x).flatten(1)[:, 2:] - 0.5), 0.02)
    assert 0 < stated <= 0.02
    assert float((found - expected).abs().max()) <= stated + 1e-4


def test_gates() -> None:
    for body in (lambda x: F.glu(x, 1), lambda x: x[:, :2] * torch.sigmoid(x[:, 2:])):
        found, expected, stated = outputs(Net(body), 0.01)
        assert float((found - expected).abs().max()) <= stated * float(PICTURES.max()) * 4


class Excited(nn.Module):
    """An inverted bottleneck of EfficientNet: SiLU, squeeze-and-excitation by a sigmoid, a residual."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.SiLU(inplace=True))
        self.wide = nn.Sequential(nn.Conv2d(4, 8, 1), nn.BatchNorm2d(8), nn.SiLU(), nn.Conv2d(8, 8, 3, 1, 1, groups=8))
        self.down, self.up, self.out = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1), nn.Conv2d(8, 4, 1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.wide(x)
        y = y * torch.sigmoid(self.up(F.silu(self.down(y.mean((2, 3), keepdim=True)))))
        return torch.as_tensor(self.head((x + self.out(y)).mean((2, 3))))


def test_without_the_flag_the_refusal_names_it() -> None:
    with pytest.raises(UnsupportedLayerError, match=r"layer stem.2: silu: expected --approximate .*approximate=.*ReLU"):
        compile_network(Excited(), PICTURES)
    with pytest.raises(ConfigError, match="approximate: expected an error between 0 and 1"):
        compile_network(Excited(), PICTURES, approximate=2)


def test_the_artifact_states_what_was_replaced_and_what_it_changes() -> None:
    network = Excited().eval()
    artifact = compile_network(network, PICTURES, approximate=0.02)
    accuracy = artifact.public.accuracy
    assert accuracy is not None
    stated = accuracy.approximation
    assert stated is not None
    assert stated.functions == 4
    assert 0 < stated.function_error <= 0.02
    with torch.no_grad():
        expected = network(torch.from_numpy(PICTURES)).numpy()
    found = np.asarray(pi.Model(artifact).plaintext(PICTURES).logits)
    spread = np.sqrt(expected.var(axis=1).mean())
    assert abs(np.abs(found - expected).max() / spread - stated.error) < 0.01
    assert stated.agreement == (found.argmax(1) == expected.argmax(1)).mean()
    card = accuracy_stated(accuracy)
    assert card["replaced_functions"] == 4
    assert card["approximation_error"] == stated.error
    assert compile_network(nn.Conv2d(3, 2, 6), PICTURES, approximate=0.02).public.accuracy.approximation is None  # type: ignore[union-attr]


def test_a_smaller_error_costs_more_relus_and_changes_less() -> None:
    coarse, fine = (compile_network(Excited(), PICTURES, approximate=error) for error in (0.1, 0.005))
    assert pi.Model(coarse).relus < pi.Model(fine).relus
    errors: list[Any] = [artifact.public.accuracy for artifact in (coarse, fine)]
    assert errors[1].approximation.error < errors[0].approximation.error


BODIES: dict[str, Callable[[Tensor], Any]] = {
    **FUNCTIONS,
    "in place": lambda x: F.silu(x, inplace=True),
    "gated": lambda x: F.glu(x, 1),
    "half of it": lambda x: x[:, :2] * torch.sigmoid(x[:, 2:]),
    "twice": lambda x: F.gelu(F.silu(x) - 0.5),
    "left out, too": lambda x: (torch.sigmoid(x.mean((2, 3))), torch.sigmoid(x).flatten(1)[:, 2:] - 0.5),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("allowed", [0.3, 0.02])
def test_with_pieces_in_both_graph_and_module_are_one(name: str, allowed: float) -> None:
    network = Net(BODIES[name]).eval()
    draft = lower(network, SHAPE, Smooth(PICTURES, allowed))
    assert bool(draft.pieces) == (name not in ("sigmoid", "log_sigmoid"))
    check_graph_is_module(network, draft, PICTURES, name)


OTHERS: list[Callable[[Tensor], Tensor]] = [lambda x: F.gelu(x) + 1e-2, lambda x: F.gelu(x) + torch.rand(4, 1, 1)]


@pytest.mark.parametrize("other", OTHERS)
def test_another_network_is_refused_however_coarse_the_pieces(other: Callable[[Tensor], Tensor]) -> None:
    draft = lower(Net(F.gelu).eval(), SHAPE, Smooth(PICTURES, 0.1))
    with pytest.raises(UnsupportedLayerError, match="expected the exported graph's logits"):
        check_graph_is_module(Net(other).eval(), draft, PICTURES, "other")


def test_where_pieces_cannot_be_compared_logits_that_are_far_are_refused() -> None:
    draft = lower(Net(F.gelu).eval(), SHAPE, Smooth(PICTURES, 0.1))
    for other in (lambda x: 9 * F.silu(x), lambda x: 9 * F.relu(x)):
        with pytest.raises(UnsupportedLayerError, match="less than 100 % of their spread"):
            check_graph_is_module(Net(other).eval(), draft, PICTURES, "other")
    assert check_graph_is_module(Net(F.silu).eval(), draft, PICTURES, "near") is not None


@pytest.mark.parametrize("backend", ["gmw", "gc", "fss"])
def test_private_logits_are_torchs_within_the_stated_bound(backend: str) -> None:
    network = Excited().eval()
    model = pi.compile(network, PICTURES, approximate=0.02)
    accuracy = model.artifact.public.accuracy
    assert accuracy is not None
    assert accuracy.approximation is not None
    with torch.no_grad():
        expected = network(torch.from_numpy(PICTURES[:1])).numpy()
    spread = float(np.sqrt(np.var(np.asarray(model.plaintext(PICTURES).logits), axis=1).mean()))
    found = np.asarray(model.predict(PICTURES[:1], backend=backend).logits)
    bound = (accuracy.error + accuracy.approximation.error + 0.01) * spread
    assert np.abs(found - expected).max() <= bound
