"""Whatever is passed as a network or as calibration: an artifact, or one typed line that says what to pass."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune, spectral_norm, weight_norm
from torch.optim.swa_utils import AveragedModel

from pi_system.errors import ConfigError, InputError, PiError, UnsupportedLayerError
from pi_system.export.compile import calibration_inputs, compile_network
from pi_system.export.intake import plain_module
from pi_system.program.float_point import float_logits

INPUTS = np.random.default_rng(0).normal(size=(6, 2, 6, 6)).astype(np.float32)


def network(**settings: Any) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, **settings), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3, **settings)
    ).eval()


def logits(module: nn.Module) -> Any:
    with torch.no_grad():
        return module(torch.from_numpy(INPUTS)).numpy()


class Odd(nn.Module):
    """A network whose forward is ``body``."""

    def __init__(self, body: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.inner, self.body = network(), body

    def forward(self, x: Tensor) -> Any:
        return self.body(self.inner, x)


def distributed() -> nn.Module:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    try:
        return nn.parallel.DistributedDataParallel(network())
    finally:
        torch.distributed.destroy_process_group()


WRAPPED: dict[str, Callable[[], Any]] = {
    "as it is": network,
    "in training": lambda: network().train(),
    "DataParallel": lambda: nn.DataParallel(network()),
    "DistributedDataParallel": lambda: distributed(),
    "averaged": lambda: AveragedModel(network()),
    "one around the other": lambda: nn.DataParallel(nn.DataParallel(network())),
    "a part of it": lambda: nn.Sequential(nn.DataParallel(nn.Sequential(cast(nn.Module, torch.compile(network()))))),
    "traced by fx": lambda: torch.fx.symbolic_trace(network()),
}


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own, as torch.compile is loaded
@pytest.mark.parametrize("wrapper", WRAPPED)
def test_wrappers_come_off(wrapper: str) -> None:
    artifact = compile_network(WRAPPED[wrapper](), INPUTS)
    assert np.allclose(float_logits(artifact, INPUTS), logits(network()), atol=5e-3)


def hooked(body: Callable[[nn.Module], object]) -> nn.Sequential:
    """The network, to whose last layer ``body`` has put a hook that computes its weight."""
    given = network()
    body(given[3])
    return given


COMPUTED: dict[str, Callable[[nn.Module], object]] = {
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),  # type: ignore[no-untyped-call]
    "normalised": weight_norm,
    "of norm one": spectral_norm,
}


@pytest.mark.filterwarnings("ignore:.torch.nn.utils.weight_norm:FutureWarning")
@pytest.mark.parametrize("kind", COMPUTED)
def test_weights_that_a_hook_computed_with_their_gradient_are_copied(kind: str) -> None:
    given = hooked(COMPUTED[kind])
    given(torch.from_numpy(INPUTS))
    weight = given[3].weight
    assert isinstance(weight, Tensor)
    assert not weight.is_leaf
    artifact = compile_network(given, INPUTS)
    assert given[3].weight is weight
    assert np.allclose(float_logits(artifact, INPUTS), logits(given), atol=0.02)


def test_the_network_itself_stays_as_it_was() -> None:
    given = nn.Sequential(nn.DataParallel(network())).train().bfloat16()
    found = plain_module(given)
    assert isinstance(given[0], nn.DataParallel)
    assert given.training
    assert not found.training
    assert {one.dtype for one in given.parameters()} == {torch.bfloat16}
    assert {one.dtype for one in found.parameters()} == {torch.float32}
    assert all(one.requires_grad for one in given.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_other_precision(dtype: torch.dtype) -> None:
    given = network(dtype=dtype)
    artifact = compile_network(given, INPUTS)
    assert np.allclose(float_logits(artifact, INPUTS), logits(network(dtype=dtype).float()), atol=5e-3)


@pytest.mark.parametrize("channels", [1, 2, 4, 9])
def test_any_number_of_channels(channels: int) -> None:
    inputs = np.ones((2, channels, 4, 4), np.float32)
    artifact = compile_network(nn.Sequential(nn.Conv2d(channels, 3, 4), nn.Flatten()), inputs)
    assert artifact.public.preprocess.channels == channels


def test_a_network_of_rows_takes_features() -> None:
    torch.manual_seed(0)
    perceptron = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 1))
    rows = np.random.default_rng(1).normal(size=(9, 7)).astype(np.float32)
    artifact = compile_network(perceptron, rows, classes=["price"])
    assert artifact.public.preprocess.classes == ("price",)
    with torch.no_grad():
        expected = perceptron(torch.from_numpy(rows)).numpy()
    assert np.allclose(float_logits(artifact, rows[:, :, None, None]), expected, atol=5e-3)


def test_a_binary_network_has_two_classes() -> None:
    torch.manual_seed(3)
    inner = nn.Sequential(nn.Flatten(), nn.Linear(72, 1))
    artifact = compile_network(inner, INPUTS, classes=("no", "yes"))
    found = float_logits(artifact, INPUTS)
    z = logits(inner)[:, 0]
    assert np.allclose(found[:, 0], 0, atol=5e-3)
    assert np.allclose(found[:, 1], z, atol=5e-3)
    assert 0 < (z > 0).mean() < 1
    for ended in (
        nn.Sequential(inner, nn.Sigmoid()),
        nn.Sequential(inner, nn.Flatten(0)),
        Odd(lambda _, x: {"p": inner(x)}),
    ):
        assert np.allclose(
            float_logits(compile_network(ended, INPUTS, classes=("no", "yes")), INPUTS), found, atol=5e-3
        )
    with pytest.raises(UnsupportedLayerError, match="one logit or its sigmoid, found log_sigmoid"):
        compile_network(nn.Sequential(inner, nn.LogSigmoid()), INPUTS, classes=("no", "yes"))


def test_a_binary_network_may_end_with_its_sigmoid() -> None:
    torch.manual_seed(3)
    inner = nn.Sequential(nn.Flatten(), nn.Linear(72, 1))
    for ended in (nn.Sequential(inner, nn.Sigmoid()), nn.Sequential(inner, nn.Sigmoid(), nn.Flatten(0))):
        found = float_logits(compile_network(ended, INPUTS, classes=("no", "yes")), INPUTS)
        assert np.allclose(found[:, 1] - found[:, 0], logits(inner)[:, 0], atol=5e-3)


def test_maps_and_several_outputs_are_one_vector() -> None:
    artifact = compile_network(Odd(lambda inner, x: {"map": inner[0](x), "rows": inner(x)}), INPUTS)
    assert artifact.public.graph.nodes[-1].shape == (4 * 36 + 3,)
    assert len(artifact.public.preprocess.classes) == 4 * 36 + 3


def test_a_network_of_lines() -> None:
    torch.manual_seed(0)
    lines = np.random.default_rng(1).normal(size=(9, 2, 12)).astype(np.float32)
    sound = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(40, 3))
    artifact = compile_network(sound, lines)
    with torch.no_grad():
        expected = sound(torch.from_numpy(lines)).numpy()
    assert np.allclose(float_logits(artifact, lines[..., None]), expected, atol=5e-3)


@dataclass
class Output:
    """As libraries of networks return it."""

    loss: Any
    logits: Tensor


def test_what_a_dataclass_holds_is_returned() -> None:
    artifact = compile_network(Odd(lambda inner, x: Output(None, inner(x))), INPUTS)
    assert np.allclose(float_logits(artifact, INPUTS), logits(network()), atol=5e-3)


def test_layers_of_a_network_of_rows_keep_their_names() -> None:
    rows = np.random.default_rng(1).normal(size=(9, 7)).astype(np.float32)
    artifact = compile_network(nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 2)), rows)
    assert "1" in {node.name for node in artifact.public.graph.nodes}
    with pytest.raises(InputError, match=r"^ModuleList: .*of shape \(7,\)"):
        compile_network(nn.ModuleList([]), rows)


def test_pictures_without_a_batch_are_explained() -> None:
    with pytest.raises(InputError, match=r"taken as \(N, C, L\): pictures are \(N, C, H, W\).*torch.stack"):
        compile_network(network(), calibration_inputs([torch.ones(2, 6, 6)] * 3))


def test_a_second_input_is_explained() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    with pytest.raises(InputError, match="forward takes the input alone"):
        compile_network(Two(), INPUTS)


@pytest.mark.filterwarnings("ignore:.isinstance.treespec:FutureWarning")  # torch.export's own
def test_a_network_has_the_name_of_its_file_or_class(tmp_path: Path) -> None:
    program = torch.export.export(network(), (torch.from_numpy(INPUTS),))
    torch.export.save(program, tmp_path / "cats.pt2")
    assert compile_network(tmp_path / "cats.pt2", INPUTS).public.name == "cats"
    assert compile_network(str(tmp_path / "cats.pt2"), INPUTS).public.name == "cats"
    assert compile_network(nn.DataParallel(network()), INPUTS).public.name == "Sequential"


SAID: dict[str, tuple[Callable[[Any, Tensor], Any], list[str]]] = {
    "logits": (lambda inner, x: inner(x), []),
    "probabilities": (lambda inner, x: inner(x).softmax(1), []),
    "chances of each": (lambda inner, x: inner(x).sigmoid(), ["logits are those before the sigmoid"]),
    "two": (
        lambda inner, x: (inner(x).softmax(1), inner(x)),
        ["label is the largest of all 6 outputs", "logits are those before the softmax"],
    ),
    "a map": (lambda inner, x: inner[0](x), ["label is the largest of all 144 outputs"]),
}


@pytest.mark.parametrize("what", SAID)
def test_what_answers_do_not_say_is_warned_of(what: str, caplog: pytest.LogCaptureFixture) -> None:
    body, said = SAID[what]
    compile_network(Odd(body), INPUTS)
    assert {line for line in caplog.messages if "labels kept" not in line} == {
        next(line for line in caplog.messages if hint in line) for hint in (*said, "calibrated on 6 inputs")
    }
    caplog.clear()
    compile_network(Odd(body), np.resize(INPUTS, (16, *INPUTS.shape[1:])))
    assert "calibrated on" not in caplog.text


LAZY = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten())
META = nn.Sequential(nn.Conv2d(2, 4, 3, device="meta"), nn.Flatten())


def infinite() -> nn.Module:
    module = network()
    with torch.no_grad():
        next(module.parameters())[0, 0, 0, 0] = torch.inf
    return module


class Uncopied(nn.Module):
    def __deepcopy__(self, memo: object) -> "Uncopied":
        raise RuntimeError("no\ncopies")


def scripted() -> Any:
    return torch.jit.trace(network(), torch.from_numpy(INPUTS))  # type: ignore[no-untyped-call]


def quantised() -> nn.Module:
    layer: Any = torch.ao.nn.quantized.ReLU6
    return nn.Sequential(layer())


REFUSED: dict[str, tuple[Callable[[], Any], type[PiError], str]] = {
    "TorchScript": (scripted, InputError, "ONNX file of it"),
    "TorchScript inside": (
        lambda: nn.Sequential(scripted()),
        InputError,
        "layer 0",
    ),
    "weights": (lambda: network().state_dict(), InputError, "after load_state_dict"),
    "class": (lambda: nn.Linear, InputError, "pass an instance"),
    "function": (lambda: torch.relu, InputError, "into forward of an nn.Module"),
    "tensor": (lambda: torch.ones(3), InputError, "pass the network"),
    "nothing": (lambda: None, InputError, "found NoneType"),
    "lazy": (lambda: LAZY, UnsupportedLayerError, "lazy"),
    "meta": (lambda: META, UnsupportedLayerError, "load the weights first"),
    "infinite": (infinite, UnsupportedLayerError, "finite weights"),
    "complex": (lambda: network(dtype=torch.complex64), UnsupportedLayerError, "real weight"),
    "quantised": (
        quantised,
        UnsupportedLayerError,
        "before quantisation",
    ),
    "not to be copied": (Uncopied, UnsupportedLayerError, "cannot be copied: RuntimeError: no"),
    "another size": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(5, 2)),
        InputError,
        r"of shape \(2, 6, 6\): layer 1: expected 5 features, found 72",
    ),
    "no forward": (lambda: nn.ModuleList([network()]), InputError, "takes inputs"),
}
BODIES: dict[str, Callable[[Any, Tensor], Any]] = {
    "raises": lambda inner, x: 1 / 0,
    "text": lambda inner, x: "a cat",
    "nothing": lambda inner, x: None,
    "a number": lambda inner, x: 3.0,
    "a dictionary": lambda inner, x: {"a": 1},
    "input": lambda inner, x: x,
    "constant": lambda inner, x: torch.zeros(len(x), 3),
    "branches on values": lambda inner, x: inner(x) if x.sum() > 0 else inner(-x),
    "loops on values": lambda inner, x: sum(inner(x) for _ in range(int(x[0, 0, 0, 0].abs()) + 1)),
    "numpy": lambda inner, x: torch.from_numpy(inner(x).detach().numpy() + 1),
    "sorts": lambda inner, x: inner(x).sort(dim=1).values,
    "attention": lambda inner, x: torch.softmax(x.flatten(2) @ x.flatten(2).transpose(1, 2), -1).flatten(1),
    "fft": lambda inner, x: inner(torch.fft.fft2(x).real),
    "random": lambda inner, x: inner(x + torch.randn_like(x)),
    "indices": lambda inner, x: inner(x)[:, torch.tensor([0, 0])],
    "item": lambda inner, x: inner(x) * x.max().item(),
    "empty": lambda inner, x: inner(x)[:, :0],
    "integers": lambda inner, x: inner(x).argmax(1, keepdim=True),
    "not finite": lambda inner, x: inner(x) / 0.0,
    "exits": lambda inner, x: inner.missing(x),
}


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_says_what_to_pass(what: str) -> None:
    make, kind, hint = REFUSED[what]
    with pytest.raises(kind, match=hint) as caught:
        compile_network(make(), INPUTS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", BODIES)
def test_odd_networks_end_in_one_typed_line_or_work(what: str) -> None:
    odd, artifact, refused = Odd(BODIES[what]), None, None
    try:
        artifact = compile_network(odd, INPUTS)
    except PiError as error:
        refused = error
    if artifact is not None:
        assert np.allclose(float_logits(artifact, INPUTS), logits(odd).reshape(len(INPUTS), -1), atol=2e-2)
    else:
        assert type(refused) is not PiError
        assert "\n" not in str(refused)


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"classes": ["a"]}, "expected 3 names"),
        ({"classes": "abc"}, "list of names"),
        ({"classes": [1, 2, 3]}, "list of names"),
        ({"classes": ["a", "b", ""]}, "printable"),
        ({"preprocess": {"mean": [1, 2, 3]}}, "mean, std"),
        ({"preprocess": {"mean": "blue"}}, "preprocess"),
        ({"preprocess": {"std": 0}}, "positive"),
        ({"preprocess": {"std": np.nan}}, "preprocess"),
        ({"preprocess": {"colour": 1}}, "found colour"),
        ({"preprocess": {"invert": "maybe"}}, "invert"),
    ],
)
def test_classes_and_preprocessing_that_do_not_fit(settings: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError, match=hint) as caught:
        compile_network(network(), INPUTS, **settings)
    assert "\n" not in str(caught.value)


def test_names_of_any_script_become_names_of_networks() -> None:
    kind = type("R\u00e9seau", (nn.Sequential,), {})
    artifact = compile_network(kind(nn.Flatten(), nn.Linear(72, 2)), INPUTS)
    assert artifact.public.name == "R?seau"


CALIBRATIONS: dict[str, tuple[Any, int]] = {
    "tensor": (torch.from_numpy(INPUTS), 6),
    "needs a gradient": (torch.from_numpy(INPUTS).clone().requires_grad_(), 6),
    "bfloat16": (torch.from_numpy(INPUTS).bfloat16(), 6),
    "float64": (INPUTS.astype(np.float64), 6),
    "batches": ([INPUTS[:2], INPUTS[2:]], 6),
    "a loader": ([(torch.from_numpy(INPUTS), torch.zeros(6))] * 50, 256),
}


@pytest.mark.parametrize("given", CALIBRATIONS)
def test_forms_of_calibration(given: str) -> None:
    value, count = CALIBRATIONS[given]
    found = calibration_inputs(value)
    assert found.shape == (count, 2, 6, 6)
    assert found.dtype == np.float32
    assert np.allclose(found[:6], INPUTS, atol=0.05)


@pytest.mark.parametrize("given", [None, 3, "a.png", {"x": 1}, [], [None], [INPUTS, INPUTS[:, :1]], np.array(["a"])])
def test_what_is_no_calibration(given: object) -> None:
    with pytest.raises(InputError) as caught:
        calibration_inputs(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("inputs", [INPUTS[0], INPUTS[:0], INPUTS[0, 0, 0], np.full_like(INPUTS, np.nan)])
def test_calibration_of_another_form(inputs: Any) -> None:
    with pytest.raises(InputError):
        compile_network(network(), inputs)
