"""The public API without a network: compile, save, load, simulate, predict in one process, profile."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pi_system as pi
from pi_system.errors import ArtifactError, ConfigError, InputError, UnsupportedLayerError

CLASSES = ("ant", "bee", "cat")
INPUTS = torch.from_numpy(np.random.default_rng(0).random((9, 1, 6, 6), np.float32))


def network() -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 3)).eval()


@pytest.fixture(scope="module")
def model() -> pi.Model:
    return pi.compile(network(), INPUTS, classes=CLASSES, preprocess={"mean": 0.25, "std": [0.5]})


@pytest.fixture(scope="module")
def few_bits() -> pi.Model:
    return pi.compile(network(), INPUTS, classes=CLASSES, compare_bits=10)


def expected(inputs: Any = INPUTS) -> Any:
    with torch.no_grad():
        return network()(inputs).numpy()


def test_simulation_is_the_networks_answer(model: pi.Model) -> None:
    found = model.simulate(INPUTS)
    assert found.logits is not None
    assert np.abs(found.logits - expected()).max() < 0.02
    assert np.abs(model.plaintext(INPUTS).outputs - expected()).max() < 0.02
    assert found.labels == tuple(CLASSES[index] for index in expected().argmax(1))
    assert len(found) == 9
    assert found.cost is None
    assert [answer.label for answer in found] == list(found.labels)
    assert found.scores is not None
    assert np.allclose(found.scores.sum(axis=1), 1)
    assert found[3].scores == tuple(found.scores[3])
    assert found[3].score == max(found.scores[3])
    with pytest.raises(FrozenInstanceError):
        found[0].label = "dog"  # type: ignore[misc]
    with pytest.raises(InputError, match="expected one input, found 9"):
        _ = found.label


@pytest.mark.parametrize("backend", ["gmw", "gc", "table", "fss"])
def test_both_parties_in_this_process(model: pi.Model, few_bits: pi.Model, backend: str) -> None:
    model = few_bits if backend == "table" else model
    found = model.predict(INPUTS[:2], backend=backend)
    assert np.abs(found.outputs - model.simulate(INPUTS[:2]).outputs).max() < 0.1
    cost = found.cost
    assert cost is not None
    assert min(cost.online_ms, cost.online_rounds, cost.online_bytes) > 0
    assert cost.offline_bytes is not None
    assert cost.offline_bytes > cost.online_bytes
    assert (cost.offline_count, cost.prepared_now) == (2, True)


@pytest.mark.parametrize("reveal", ["label", "scores"])
def test_less_than_logits(model: pi.Model, reveal: Any) -> None:
    found = model.predict(INPUTS[0], backend="fss", reveal=reveal)
    assert found.label == model.simulate(INPUTS[0]).label
    assert (found.logits is None) == (found.scores is None) == (found.score is None) == (reveal == "label")
    assert str(found).startswith(f"0: {found.label}")
    assert json.loads(json.dumps(found.as_dict()))["answers"][0]["label"] == found.label


def test_saved_and_loaded(model: pi.Model, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "model")
    again = pi.load(str(folder))
    assert (again.digest, again.classes, again.relus) == (model.digest, CLASSES, 48)
    assert np.array_equal(again.simulate(INPUTS).outputs, model.simulate(INPUTS).outputs)
    with pytest.raises(ArtifactError):
        model.save(folder)
    with pytest.raises(ArtifactError):
        pi.load(tmp_path / "nothing")
    assert pi.load("builtin:cifar10").relus == 15_000
    with pytest.raises(ConfigError):
        pi.load("builtin:nothing")


def test_files_are_preprocessed_and_arrays_are_not(model: pi.Model, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 6), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", pixels / 255)
    normalised = ((pixels / 255 - 0.25) / 0.5).astype(np.float32)
    by_file = model.simulate([tmp_path / "a.png", str(tmp_path / "b.npy")])
    assert by_file.names == (str(tmp_path / "a.png"), str(tmp_path / "b.npy"))
    assert np.array_equal(by_file.outputs[0], by_file.outputs[1])
    for form in (normalised, normalised[None], normalised[None, None].tolist(), torch.from_numpy(normalised)):
        assert np.array_equal(model.simulate(form).outputs, by_file.outputs[:1])


@pytest.mark.parametrize(
    "given", [None, 3, "missing.png", [], object(), np.ones((2, 5)), np.full((6, 6), np.nan), "x\0"]
)
def test_inputs_that_are_none(model: pi.Model, given: Any) -> None:
    with pytest.raises(InputError) as caught:
        model.simulate(given)
    assert "\n" not in str(caught.value)


def test_one_output() -> None:
    torch.manual_seed(0)
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    line = nn.Linear(4, 1)
    price = pi.compile(line, rows, classes=["price"])
    found = price.simulate(rows[0])
    assert found.value == pytest.approx(line(torch.from_numpy(rows[0])).item(), abs=0.02)
    assert str(found) == f"0: price {found.value:.6g}"
    with pytest.raises(ConfigError, match="which has no label"):
        price.predict(rows[0], reveal="label")
    with pytest.raises(ConfigError, match="which has no label"):
        pi.profile(price, reveal="label")
    binary = pi.compile(line, rows, classes=["no", "yes"]).simulate(rows)
    logits = line(torch.from_numpy(rows)).detach().numpy()[:, 0]
    assert binary.scores is not None
    assert np.allclose(binary.scores[:, 1], 1 / (1 + np.exp(-logits)), atol=0.01)
    clear = np.abs(logits) > 0.02
    assert [label == "yes" for label in np.array(binary.labels)[clear]] == list(logits[clear] > 0)


def test_costs_are_predicted_without_a_run(model: pi.Model) -> None:
    near, far = (pi.profile(model, backend="fss", link=link) for link in ("lan", "wan"))
    assert far.online_ms > near.online_ms > 0
    assert far.online_rounds == near.online_rounds
    assert pi.profile(model, backend="fss", reveal="label").online_rounds > near.online_rounds
    with pytest.raises(ConfigError):
        pi.profile(model, link="string")
    with pytest.raises(ConfigError, match="reveal: expected one of label, scores, logits, found 'string'"):
        pi.profile(model, reveal="string")  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        pi.profile(model, backend="none")


def test_what_a_process_cannot_do(model: pi.Model) -> None:
    with pytest.raises(ConfigError, match=r"pi\.Server"):
        model.predict(INPUTS[0], backend="crypten")
    with pytest.raises(ConfigError, match="expected one of"):
        model.predict(INPUTS[0], backend="none")
    with pytest.raises(UnsupportedLayerError):
        pi.compile(nn.Sequential(nn.Flatten(), nn.Linear(36, 2), nn.GELU()), INPUTS)


def test_names_are_there_and_light() -> None:
    assert set(pi.__all__) <= set(dir(pi))
    assert all(getattr(pi, name) is not None for name in pi.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pi.nothing
    code = (
        "import sys, pi_system as pi\n"
        "heavy = {'torch', 'numpy', 'grpc', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "pi.Client, pi.Server, pi.Result\n"
        "print(sorted({'torch', 'pi_system.train', 'pi_system.export'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"


def test_a_model_for_backends_with_a_dealer_alone_says_so(caplog: pytest.LogCaptureFixture) -> None:
    narrow = pi.compile(network(), INPUTS, options=pi.QuantiseOptions(ring_bits=15, frac_bits=2, max_error=0.5))
    assert "expected a ring of 16..64 bits" in caplog.text
    assert "backends that run it: fss, crypten" in caplog.text
    with pytest.raises(ConfigError, match="expected a ring of 16"):
        narrow.predict(INPUTS[:1])


def test_a_network_without_weights_is_told_from_one_that_every_backend_runs() -> None:
    bare = pi.compile(nn.Sequential(nn.ReLU(), nn.Flatten()), INPUTS)
    for backend in ("gmw", "gc"):
        with pytest.raises(ConfigError, match=f"backend {backend}: expected a layer with weights, found none"):
            bare.predict(INPUTS[:1], backend=backend)
    found = bare.predict(INPUTS[:1], backend="fss").outputs
    assert np.abs(found - INPUTS[:1].flatten(1).numpy()).max() < 0.02
