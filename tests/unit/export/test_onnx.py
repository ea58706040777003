"""ONNX files and torch.export programs: the module that is read computes what the file does."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnx.reference
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pi_system.errors import InputError, PiError, UnsupportedLayerError
from pi_system.export.compile import compile_network
from pi_system.export.exporter import lower
from pi_system.export.onnx import read_onnx
from pi_system.export.program import read_program
from pi_system.program.float_point import float_logits
from pi_system.train.networks import build_network
from pi_system.train.spec import NetworkSpec

pytestmark = pytest.mark.filterwarnings("ignore:.isinstance.treespec:FutureWarning")  # torch.export's own
SHAPE = (3, 8, 8)
PICTURES = torch.from_numpy(np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32))


class Plain(nn.Module):
    """Normalisation, convolution, pooling and a classifier, written with functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(64, 5)
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv((x - self.mean) / 0.5)))
        x = F.dropout(F.max_pool2d(x, 2), 0.5, self.training)
        return torch.as_tensor(self.head(x.view(x.size(0), -1)))


def plain() -> nn.Module:
    torch.manual_seed(0)
    network = Plain()
    with torch.no_grad():
        for parameter in network.norm.buffers():
            parameter.add_(1)
    return network.eval()


def residual() -> nn.Module:
    spec = NetworkSpec.parse("resnet18:m=1,classes=4,size=8,channels=3")
    return build_network(spec, seed=1).eval()


def varied() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding="same", dilation=2, groups=1),
        nn.ReLU(),
        nn.ConstantPad2d((0, 1, 0, 1), 0.0),
        nn.AvgPool2d(3, 2, 1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).eval()


NETWORKS: dict[str, Callable[[], nn.Module]] = {"plain": plain, "residual": residual, "varied": varied}


def written(network: nn.Module, path: Path, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the older exporter, which needs nothing beside onnx
        torch.onnx.export(network, (PICTURES[:1],), path, dynamo=False, input_names=["x"], **options)
    return path


def outputs(network: nn.Module) -> Any:
    with torch.no_grad():
        return network(PICTURES).numpy()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("options", [{"opset_version": 11}, {"dynamic_axes": {"x": {0: "batch"}}}], ids=["11", "open"])
def test_what_torch_writes_is_read(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    network = NETWORKS[name]()
    found = read_onnx(written(network, tmp_path / "n.onnx", **options))
    assert np.allclose(outputs(found), outputs(network), atol=1e-5)


@pytest.mark.parametrize(("name", "open_batch"), [("plain", True), ("plain", False), ("varied", False)])
def test_programs_of_torch_export_are_read(name: str, open_batch: bool) -> None:
    network = NETWORKS[name]()
    shapes = ({0: torch.export.Dim("batch")},) if open_batch else None
    program = torch.export.export(network, (PICTURES[:2],), dynamic_shapes=shapes)
    assert np.allclose(outputs(read_program(program)), outputs(network), atol=1e-5)


def test_files_become_artifacts(tmp_path: Path) -> None:
    network = plain()
    expected = outputs(network)
    torch.export.save(torch.export.export(network, (PICTURES,)), tmp_path / "n.pt2")
    for path in (tmp_path / "n.pt2", written(network, tmp_path / "n.onnx")):
        artifact = compile_network(path, PICTURES.numpy())
        assert np.allclose(float_logits(artifact, PICTURES.numpy()), expected, atol=1e-2)


def test_a_program_is_a_network_itself() -> None:
    artifact = compile_network(torch.export.export(plain(), (PICTURES,)), PICTURES.numpy(), classes=tuple("abcde"))
    assert np.allclose(float_logits(artifact, PICTURES.numpy()), outputs(plain()), atol=1e-2)


def graph(
    nodes: list[Any], constants: dict[str, Any], shape: Any = ("n", *SHAPE), opset: int = 18, outputs: int = 1
) -> Any:
    kind = onnx.TensorProto.FLOAT
    made = onnx.helper.make_graph(
        nodes,
        "g",
        [onnx.helper.make_tensor_value_info("x", kind, shape)],
        [onnx.helper.make_tensor_value_info(f"y{index or ''}", kind, ["any"]) for index in range(outputs)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", opset)])


def two_inputs() -> Any:
    model = graph([n("Add", "x z")], {})
    model.graph.input.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ("n", *SHAPE)))
    return model


def ints(**values: list[int]) -> dict[str, Any]:
    return {name: np.array(value, np.int64) for name, value in values.items()}


def n(op: str, inputs: str, output: str = "y", **attributes: Any) -> Any:
    return onnx.helper.make_node(
        op, [one if one != "-" else "" for one in inputs.split()], output.split(), **attributes
    )


RNG = np.random.default_rng(3)
KERNEL = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
TALL = RNG.normal(size=(192, 5)).astype(np.float32)
CHANNELS = np.array([1.5, -2.0, 0.5], np.float32)
F32 = np.float32
HALVED: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1], "ceil_mode": 1}
OPERATIONS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "conv, uneven pads": ([n("Conv", "x w", pads=[0, 1, 1, 0], strides=[2, 1])], {"w": KERNEL}),
    "conv, same upper": ([n("Conv", "x w", auto_pad="SAME_UPPER", strides=[2, 2])], {"w": KERNEL}),
    "conv, same lower": ([n("Conv", "x w", auto_pad="SAME_LOWER", dilations=[2, 2])], {"w": KERNEL}),
    "conv, no bias named": ([n("Conv", "x w -")], {"w": KERNEL}),
    "matmul": ([n("Flatten", "x", "f"), n("MatMul", "f w", "m"), n("Add", "m b")], {"w": TALL, "b": TALL[0]}),
    "gemm": (
        [n("Flatten", "x", "f"), n("Gemm", "f w b", alpha=0.5, beta=2.0)],
        {"w": TALL, "b": F32(0.25).reshape(1)},
    ),
    "norm": (
        [n("BatchNormalization", "x s b m v", epsilon=0.01)],
        {"s": CHANNELS, "b": CHANNELS, "m": CHANNELS, "v": abs(CHANNELS)},
    ),
    "add a channel": ([n("Add", "x c")], {"c": CHANNELS[:, None, None]}),
    "a constant less": ([n("Sub", "c x")], {"c": F32(2.0)}),
    "less": ([n("Sub", "x c")], {"c": CHANNELS.reshape(1, 3, 1, 1)}),
    "times": ([n("Mul", "c x")], {"c": CHANNELS[:, None, None]}),
    "by": ([n("Div", "x c")], {"c": F32(4.0)}),
    "by a value": ([n("Exp", "c", "e"), n("Mul", "x e")], {"c": F32(0.5)}),
    "sum of three": ([n("Relu", "x", "r"), n("Sum", "x r x")], {}),
    "clip": ([n("Clip", "x l h")], {"l": F32(0.0), "h": F32(6.0)}),
    "clip below": ([n("Clip", "x l")], {"l": F32(0.0)}),
    "leaky": ([n("LeakyRelu", "x", alpha=0.3)], {}),
    "prelu": ([n("PRelu", "x s")], {"s": abs(CHANNELS)[:, None, None]}),
    "max-pool, uneven": ([n("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])], {}),
    "max-pool, upwards": ([n("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], {}),
    "max-pool, upwards, uneven": (
        [n("MaxPool", "x", kernel_shape=[2, 3], strides=[2, 2], pads=[0, 1, 1, 2], ceil_mode=1)],
        {},
    ),
    "average": ([n("AveragePool", "x", kernel_shape=[2, 4], strides=[2, 4])], {}),
    "average, uneven": (
        [n("AveragePool", "x", kernel_shape=[3, 3], pads=[0, 0, 1, 1], strides=[2, 2], count_include_pad=1)],
        {},
    ),
    "global average": ([n("GlobalAveragePool", "x", "p"), n("Squeeze", "p a")], {"a": np.array([2, 3])}),
    "global maximum": ([n("GlobalMaxPool", "x")], {}),
    "mean": ([n("ReduceMean", "x a", keepdims=0)], {"a": np.array([-1, -2])}),
    "mean, kept": ([n("ReduceMean", "x a")], {"a": np.array([2, 3])}),
    "flatten": ([n("Flatten", "x")], {}),
    "reshape with zeros": ([n("Reshape", "x s")], {"s": np.array([0, -1])}),
    "reshape by shape": (
        [
            n("Shape", "x", "s"),
            n("Gather", "s i", "n"),
            n("Unsqueeze", "n z", "u"),
            n("Concat", "u m", "t", axis=0),
            n("Reshape", "x t"),
        ],
        {"i": np.array(0), "z": np.array([0]), "m": np.array([-1])},
    ),
    "shuffle": (
        [
            n("Conv", "x w", "c"),
            n("Reshape", "c s", "r"),
            n("Transpose", "r", "t", perm=[0, 2, 1, 3, 4]),
            n("Reshape", "t e"),
        ],
        {"w": KERNEL, "s": np.array([0, 2, 2, 6, 6]), "e": np.array([0, 4, 6, 6])},
    ),
    "concat": ([n("Relu", "x", "r"), n("Concat", "x r", axis=1)], {}),
    "split": ([n("Split", "x s", "a b", axis=1), n("Concat", "b a", axis=1)], {"s": np.array([1, 2])}),
    "pad": ([n("Pad", "x p v")], {"p": np.array([0, 0, 1, 0, 0, 0, 2, 1]), "v": F32(0.0)}),
    "largest": ([n("Relu", "x", "r"), n("Max", "x r")], {}),
    "softmax": ([n("Flatten", "x", "f"), n("Softmax", "f")], {}),
    "dropout": ([n("Dropout", "x", "d mask"), n("Identity", "d", "i"), n("Cast", "i", to=1)], {}),
    "transposed": ([n("ConvTranspose", "x w", strides=[2, 2])], {"w": KERNEL[:3, :2]}),
    "transposed, uneven": (
        [n("ConvTranspose", "x w", strides=[2, 1], pads=[0, 1, 1, 0], output_padding=[1, 0])],
        {"w": KERNEL[:3, :2]},
    ),
    "transposed, rows of the bias": (
        [n("ConvTranspose", "x w b", strides=[2, 2], output_padding=[1, 1])],
        {"w": KERNEL[:3, :2], "b": CHANNELS[:2]},
    ),
    "slice": ([n("Slice", "x s e a t")], ints(s=[1, -2], e=[3, -9], a=[1, 2], t=[1, -1])),
    "slice, all": ([n("Slice", "x s e a")], ints(s=[0], e=[2**63 - 1], a=[3])),
    "gather": ([n("Gather", "x i", axis=1)], {"i": np.array([2, 0, -1])}),
    "gather one": ([n("Gather", "x i", axis=2)], {"i": np.array(3)}),
    "pad, reflect": ([n("Pad", "x p", mode="reflect")], ints(p=[0, 0, 1, 2, 0, 0, 0, 1])),
    "pad, edge": ([n("Pad", "x p", mode="edge")], ints(p=[0, 0, 1, 2, 0, 0, 0, 1])),
    "pad, channels": ([n("Pad", "x p v")], {**ints(p=[0, 1, 0, 0, 0, 0, 0, 0]), "v": F32(0.5)}),
    "pad, axes": ([n("Pad", "x p - a")], ints(p=[1, 2], a=[3])),
    "clip above": ([n("Clip", "x - h")], {"h": F32(0.5)}),
    "clip nowhere": ([n("Clip", "x")], {}),
    "norm of rows": (
        [n("Flatten", "x", "f"), n("Gemm", "f w", "g"), n("BatchNormalization", "g s b m v")],
        {"w": TALL, "s": TALL[0], "b": TALL[1], "m": TALL[2], "v": abs(TALL[3])},
    ),
    "prelu by position": ([n("PRelu", "x s")], {"s": RNG.random((3, 8, 1)).astype(F32)}),
    "hard sigmoid": ([n("HardSigmoid", "x", alpha=0.3, beta=0.4)], {}),
    "hard swish": ([n("HardSwish", "x")], {}),
    "square": ([n("Pow", "x e")], {"e": F32(2)}),
    "largest of a map": ([n("ReduceMax", "x a", keepdims=0)], ints(a=[2, 3])),
    "sum": ([n("ReduceSum", "x a", keepdims=0)], ints(a=[-1])),
    "least of three": ([n("Relu", "x", "r"), n("Neg", "x", "m"), n("Min", "x r m")], {}),
    "mean of two": ([n("Relu", "x", "r"), n("Mean", "x r")], {}),
    "average, uneven, not counted": (
        [n("AveragePool", "x", kernel_shape=[3, 3], pads=[0, 0, 1, 1], strides=[2, 2])],
        {},
    ),
    "average, upwards, uneven": ([n("AveragePool", "x", **HALVED)], {}),
    "average, upwards, uneven, counted": ([n("AveragePool", "x", **HALVED, count_include_pad=1)], {}),
    "expand": ([n("GlobalAveragePool", "x", "p"), n("Expand", "p s")], ints(s=[1, 3, 2, 2])),
    "tile": ([n("Tile", "x r")], ints(r=[1, 2, 1, 3])),
    "depth to space": ([n("Conv", "x w", "c"), n("DepthToSpace", "c", blocksize=2)], {"w": KERNEL}),
    "depth to space, columns": (
        [n("Conv", "x w", "c"), n("DepthToSpace", "c", blocksize=2, mode="CRD")],
        {"w": KERNEL},
    ),
    "space to depth": ([n("SpaceToDepth", "x", blocksize=2)], {}),
    "where": ([n("Where", "c x z")], {"c": np.arange(8) < 3, "z": F32(0)}),
    "matmul of maps": ([n("MatMul", "x w")], {"w": TALL[:8]}),
    "split in three": ([n("Split", "x", "a b c", axis=2, num_outputs=3), n("Concat", "c a b", axis=2)], {}),
    "flatten by minus": ([n("Flatten", "x", "f"), n("Flatten", "f", axis=-1)], {}),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operator_is_what_onnx_says(tmp_path: Path, name: str) -> None:
    model = graph(*OPERATIONS[name])
    onnx.save(model, tmp_path / "n.onnx")
    (expected,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": PICTURES.numpy()})
    found = outputs(read_onnx(tmp_path / "n.onnx"))
    assert found.shape == expected.shape
    assert np.allclose(found, expected, atol=1e-4)


REFUSED: dict[str, tuple[Any, type[PiError], str]] = {
    "unknown": (graph([n("Multinomial", "x")], {}), UnsupportedLayerError, "found Multinomial"),
    "weights of the network": (graph([n("Conv", "x x")], {}), UnsupportedLayerError, "constant weights"),
    "open sizes": (graph([n("Relu", "x")], {}, ("n", 3, "h", "w")), InputError, "give --size"),
    "old": (graph([n("Relu", "x")], {}, opset=6), InputError, "operator set"),
    "no input": (graph([n("Identity", "c")], {"c": F32(1)}), InputError, "depends on the input"),
    "two inputs": (two_inputs(), InputError, "one input and an output, found 2, 1"),
    "shapes": (graph([n("Conv", "x w")], {"w": KERNEL[:, :2]}), UnsupportedLayerError, "Conv"),
    "batch": (graph([n("Flatten", "x", axis=2)], {}), UnsupportedLayerError, "batch as first axis"),
    "batch moved": (graph([n("Reshape", "x s")], {"s": np.array([-1])}), UnsupportedLayerError, "batch as first axis"),
    "batch repeated": (
        graph([n("Expand", "x s")], ints(s=[2, 1, 1, 1])),
        UnsupportedLayerError,
        "batch, which comes first",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_says_where(tmp_path: Path, name: str) -> None:
    model, kind, hint = REFUSED[name]
    onnx.save(model, tmp_path / "n.onnx")
    with pytest.raises(kind, match=rf"n\.onnx: .*{hint}") as caught:
        read_onnx(tmp_path / "n.onnx")
    assert "\n" not in str(caught.value)


def test_sizes_that_a_file_leaves_open_may_be_given(tmp_path: Path) -> None:
    onnx.save(graph([n("Flatten", "x")], {}, ("n", 3, "h", "w")), tmp_path / "n.onnx")
    assert outputs(read_onnx(tmp_path / "n.onnx", SHAPE)).shape == (3, 192)


@pytest.mark.parametrize("seed", range(12))
def test_damaged_files_are_input_errors(tmp_path: Path, seed: int) -> None:
    path = written(varied(), tmp_path / "n.onnx")
    content, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for position in rng.integers(0, len(content), 3):
        content[position] = rng.integers(256)
    path.write_bytes(content[: int(rng.integers(1, len(content) + 1))] if seed % 2 else content)
    try:
        read_onnx(path)
    except PiError as error:
        message = str(error)
    else:
        message = ""  # a changed weight is still a weight
    assert "\n" not in message


def test_programs_that_are_refused(tmp_path: Path) -> None:
    class Sine(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(x).flatten(1)

    with pytest.raises(UnsupportedLayerError, match=r"sin: expected.*ReLU"):
        lower(read_program(torch.export.export(Sine(), (PICTURES,))), SHAPE)
    (tmp_path / "n.pt2").write_bytes(b"PK\3\4 no program")
    for path in (tmp_path / "n.pt2", tmp_path / "missing.pt2", tmp_path / "missing.onnx", tmp_path / "n.tflite"):
        with pytest.raises(InputError) as caught:
            compile_network(path, PICTURES.numpy())
        assert "\n" not in str(caught.value)


RESIZED = [
    {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    {"mode": "nearest", "coordinate_transformation_mode": "half_pixel"},
    {"mode": "nearest", "coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"},
    {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
    {"mode": "cubic", "coordinate_transformation_mode": "half_pixel", "cubic_coeff_a": -0.5},
]


@pytest.mark.parametrize("attributes", RESIZED)
@pytest.mark.parametrize("stated", ["scales", "sizes"])
def test_resizing_is_what_onnx_says(tmp_path: Path, attributes: dict[str, Any], stated: str) -> None:
    constants = {"s": np.array([1, 1, 1.5, 2], F32)} if stated == "scales" else ints(s=[1, 3, 5, 11])
    model = graph([n("Resize", "x - s" if stated == "scales" else "x - - s", **attributes)], constants)
    onnx.save(model, tmp_path / "n.onnx")
    picture = PICTURES[:1]
    (expected,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": picture.numpy()})
    with torch.no_grad():
        found = read_onnx(tmp_path / "n.onnx")(picture).numpy()
    assert np.allclose(found, expected, atol=1e-5)


def single(model: Any, path: Path, x: Any) -> Any:
    onnx.save(model, path)
    with torch.no_grad():
        return read_onnx(path)(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize(("scale", "size", "found"), [(1.4, 5, 7), (0.7, 10, 7), (0.6, 10, 6), (1.1, 10, 11)])
def test_sizes_by_scales_are_those_of_float32(tmp_path: Path, scale: float, size: int, found: int) -> None:
    """As onnxruntime has them, and torch, whose double 1.4 was written as float32; onnx itself once did, too."""
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    model = graph([n("Resize", "x - s", **attributes)], {"s": np.array([1, 1, scale, 1], F32)}, ("n", 1, size, 1))
    rows = single(model, tmp_path / "n.onnx", np.arange(size, dtype=F32).reshape(1, 1, size, 1)).ravel()
    assert rows.tolist() == np.floor(np.arange(found, dtype=F32) / F32(scale)).tolist()
    assert scale != 0.6 or rows[3] == 5  # in float64, 4.9999998


class Wide(nn.Module):
    """What torchvision's models are written with, besides plain layers."""

    def __init__(self, newer: bool) -> None:
        super().__init__()
        self.newer = newer
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.head, self.normed, self.last = nn.Linear(16, 6), nn.BatchNorm1d(6), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.norm(self.conv(F.pad(x, (0, 1, 1, 2)))))
        left, right = x.chunk(2, 1)
        x = torch.cat([F.leaky_relu(right, 0.1), left.clamp(min=0.1)], 1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        how: dict[str, Any] = {"mode": "bilinear", "align_corners": True} if self.newer else {"mode": "nearest"}
        x = F.interpolate(x, scale_factor=2.0) + F.interpolate(x, (18, 16), **how)[..., :14]
        x = F.hardtanh(F.pad(x[:, :, 1:-1, :: 2 if self.newer else 1], (1, 1, 0, 0), mode="reflect"), -2, 2)
        x = F.adaptive_avg_pool2d(F.max_pool2d(x, 3, 2, ceil_mode=True), 1) * torch.ones(1, 1, 2, 2)
        x = F.relu(self.normed(self.head(torch.flatten(x, 1))))
        first, second = torch.split(x, [2, 4], 1)
        return torch.as_tensor(self.last(torch.stack([first[:, 0], second[:, 1], second.mean(1)], -1)))


@pytest.mark.parametrize("opset", [9, 10, 11, 13, 16, 18])
def test_every_operator_set_of_torchs_older_exporter(tmp_path: Path, opset: int) -> None:
    torch.manual_seed(2)
    network = Wide(opset > 10).eval()  # older sets resize by other corners, and have no steps
    with torch.no_grad():
        network.normed.running_mean.normal_()  # type: ignore[union-attr]
    found = read_onnx(written(network, tmp_path / "n.onnx", opset_version=opset))
    assert np.allclose(outputs(found), outputs(network), atol=1e-4)
    lower(found, SHAPE)


def test_constants_of_one_picture_are_those_of_all(tmp_path: Path) -> None:
    constant = RNG.random((1, 1, 8, 8)).astype(F32)
    onnx.save(graph([n("Concat", "x c", axis=1)], {"c": constant}), tmp_path / "n.onnx")
    found = outputs(read_onnx(tmp_path / "n.onnx"))
    assert np.array_equal(found[:, :3], PICTURES.numpy())
    assert (found[:, 3:] == constant).all()


def test_a_slice_backwards_from_before_the_first_place_begins_there(tmp_path: Path) -> None:
    """As the operator has it; onnx's reference slices as Python does, which gives nothing."""
    model = graph([n("Slice", "x s e a t")], ints(s=[-20], e=[-30], a=[2], t=[-1]))
    assert np.array_equal(single(model, tmp_path / "n.onnx", PICTURES.numpy()), PICTURES.numpy()[:, :, :1])


def test_several_outputs_become_one_vector(tmp_path: Path) -> None:
    onnx.save(graph([n("Flatten", "x"), n("ReduceMean", "x a", "y1")], ints(a=[2, 3]), outputs=2), tmp_path / "n.onnx")
    assert compile_network(tmp_path / "n.onnx", PICTURES.numpy()).public.graph.nodes[-1].shape == (192 + 3,)


def test_a_refusal_of_a_file_names_its_node(tmp_path: Path) -> None:
    tanh = onnx.helper.make_node("Tanh", ["x"], ["y"], name="/head/Tanh_3")
    onnx.save(graph([tanh], {}), tmp_path / "n.onnx")
    with pytest.raises(UnsupportedLayerError, match=r"layer head_Tanh_3: tanh: expected --approximate"):
        lower(read_onnx(tmp_path / "n.onnx"), SHAPE)
