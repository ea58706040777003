"""Clumsy and hostile use of the API ends in a typed error of one line, or in what was meant."""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mlp_artifact import mlp_artifact
from PIL import Image
from torch import nn

import pi_system as pi
from pi_system.api.guard import typed
from pi_system.errors import (
    ConfigError,
    FixedPointRangeError,
    InputError,
    LocalProtocolError,
    StorageError,
    UnsupportedLayerError,
)

RNG = np.random.default_rng(0)
COLOURED = RNG.random((8, 3, 6, 6), np.float32)
PIXELS = RNG.integers(0, 256, (40, 50, 3), np.uint8)


def coloured() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()


@pytest.fixture(scope="module")
def model() -> pi.Model:
    return pi.compile(coloured(), COLOURED, classes=["ant", "bee", "cat"], preprocess={"mean": 0.5, "std": 0.25})


def one_line(kind: type[pi.PiError], hint: str, call: Callable[[], object]) -> None:
    with pytest.raises(kind, match=hint) as caught:
        call()
    assert "\n" not in str(caught.value)


NO_INPUTS: dict[str, tuple[Any, str]] = {
    "another size": (np.ones((1, 3, 5, 5)), r"\(N, 3, 6, 6\).*found \(1, 3, 5, 5\)"),
    "channels last": (np.ones((6, 6, 3)), r"found \(6, 6, 3\)"),
    "grey": (np.ones((1, 6, 6)), r"found \(1, 6, 6\)"),
    "no picture of several": (np.empty((0, 3, 6, 6)), "at least one input"),
    "nan": (np.full((3, 6, 6), np.nan), "finite"),
    "infinite": (torch.full((3, 6, 6), torch.inf), "finite"),
    "too large for float32": (np.full((3, 6, 6), 1e300), "finite"),
    "complex": (np.ones((3, 6, 6), np.complex64), "real numbers, found complex64"),
    "complex tensor": (torch.ones(3, 6, 6, dtype=torch.complex64), "real numbers, found complex64"),
    "text": (np.full((3, 6, 6), "a"), "real numbers, found <U1"),
    "objects": (np.full((3, 6, 6), None), "real numbers, found object"),
    "ragged": ([[1.0, 2.0], [3.0]], "expected files, an array or a tensor, found list"),
    "meta": (torch.ones(3, 6, 6, device="meta"), "found Tensor"),
    "mixed": (["a.png", np.ones((3, 6, 6))], "found list"),
    "no file": (Path("nowhere.png"), "found no such file"),
    "a folder": (Path(__file__).parent, "in the folder, found none"),
    "a stream": (io.StringIO("a"), "found StringIO"),
}


@pytest.mark.parametrize("what", NO_INPUTS)
def test_what_is_no_input(model: pi.Model, what: str) -> None:
    given, hint = NO_INPUTS[what]
    one_line(InputError, hint, lambda: model.simulate(given))
    one_line(InputError, hint, lambda: model.plaintext(given))


def test_values_far_from_the_calibrated_ones_are_named(model: pi.Model) -> None:
    one_line(FixedPointRangeError, "expected", lambda: model.simulate(np.full((3, 6, 6), 1e30)))
    one_line(InputError, "0: expected values below", lambda: model.predict(np.full((3, 6, 6), 1e30), backend="fss"))


def test_a_label_that_is_none_is_an_error_of_its_own_and_not_the_last_class(model: pi.Model) -> None:
    """Noise of a hundred times the calibrated range: no class wins in integers that wrap, or any does."""
    far = np.random.default_rng(3).normal(size=(24, 3, 6, 6)).astype(np.float32) * 300
    found = model.predict(far, backend="fss", reveal="label")
    none = [index for index, answer in enumerate(found) if answer.index is None]
    assert none
    assert all(str(found[index]) == "no class" and found[index].label is None for index in none)
    one_line(FixedPointRangeError, "expected a class", lambda: found.labels)


def test_a_simulation_names_the_input_that_a_private_run_cannot_answer(model: pi.Model) -> None:
    """Values beyond the calibrated range meet comparisons of too few bits: the private answer is noise."""
    inputs = np.repeat(COLOURED, 9, axis=0)
    inputs[67] *= 40
    wrong = model.predict(inputs[67]).outputs - model.plaintext(inputs[67]).outputs
    assert np.abs(wrong).max() > 0.5
    one_line(FixedPointRangeError, r"input 67: node \S+: expected .* calibrate on", lambda: model.simulate(inputs))
    assert len(model.simulate(inputs[:67])) == 67


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1", "I;16", "F"])
def test_pictures_of_every_mode_in_memory_are_those_of_files(model: pi.Model, tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(PIXELS[..., 0])
    picture = {"I;16": Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257), "F": grey.convert("F")}.get(
        mode, Image.fromarray(PIXELS)
    )
    picture = picture if mode in ("I;16", "F") else picture.convert(mode)
    found = model.plaintext([picture, picture])
    assert found.names == ("0", "1")
    assert np.allclose(model.plaintext(picture).outputs[0], found.outputs[1], atol=1e-6)
    if mode not in ("CMYK", "F"):  # which PNG has not
        picture.save(tmp_path / "a.png")
        assert np.allclose(model.plaintext(tmp_path / "a.png").outputs[0], found.outputs[0], atol=1e-6)


def test_a_huge_picture_in_memory_is_refused(model: pi.Model) -> None:
    one_line(InputError, "expected at most 64000000 pixels", lambda: model.simulate(Image.new("1", (9000, 9000))))


def test_a_picture_without_pixels_is_refused(model: pi.Model) -> None:
    one_line(InputError, "and one, found 0 x 5", lambda: model.simulate(Image.new("RGB", (0, 5))))


def test_a_picture_is_none_of_a_network_of_rows() -> None:
    rows = pi.compile(nn.Linear(4, 2), RNG.random((9, 4), np.float32))
    one_line(
        InputError, "expected an array, the network takes 4 channels", lambda: rows.simulate(Image.new("L", (9, 9)))
    )


WRONG: dict[str, tuple[type[pi.PiError], str, Callable[[pi.Model], object]]] = {
    "reveal": (ConfigError, "reveal: expected one of", lambda m: m.predict(COLOURED[0], reveal="all")),  # type: ignore[arg-type]
    "backend": (ConfigError, "backend: expected one of", lambda m: m.predict(COLOURED[0], backend="spdz")),
    "table": (ConfigError, "--compare-bits 10", lambda m: m.predict(COLOURED[0], backend="table")),
    "ring": (ConfigError, "ring_bits: expected from 8 to 64, found 999", lambda m: pi.QuantiseOptions(ring_bits=999)),
    "fraction": (ConfigError, "frac_bits: expected", lambda m: pi.QuantiseOptions(frac_bits=-1)),
    "error": (ConfigError, "max_error: expected", lambda m: pi.QuantiseOptions(max_error=float("nan"))),
    "no error": (ConfigError, "max_error: expected", lambda m: pi.QuantiseOptions(max_error="x")),  # type: ignore[arg-type]
    "never": (ConfigError, "overflow_log2: expected from -60 to 0", lambda m: pi.QuantiseOptions(overflow_log2=-1e9)),
    "always": (ConfigError, "overflow_log2: expected", lambda m: pi.QuantiseOptions(overflow_log2=1)),
    "link": (ConfigError, "link", lambda m: pi.profile(m, link="")),
    "no link": (ConfigError, "link: expected a name", lambda m: pi.profile(m, link=None)),  # type: ignore[arg-type]
    "no backend": (ConfigError, "backend: expected one of", lambda m: m.predict(COLOURED[0], backend=None)),  # type: ignore[arg-type]
    "no address": (
        ConfigError,
        "HOST:PORT, found '7100'",
        lambda m: pi.Client(7100, insecure=True, store="s").available(),  # type: ignore[arg-type]
    ),
    "no keys": (InputError, "keys: expected a path, found int", lambda m: pi.Client(keys=3)),  # type: ignore[arg-type]
    "profile": (InputError, "expected a path, found int", lambda m: pi.profile(3)),  # type: ignore[arg-type]
    "load": (InputError, "expected a path, found Model", lambda m: pi.load(m)),  # type: ignore[arg-type]
    "save": (InputError, "expected a path, found NoneType", lambda m: m.save(None)),  # type: ignore[arg-type]
    "zero byte": (InputError, "expected a path", lambda m: m.save("a\0b")),
    "served": (InputError, "artifact: expected a path, found Model", lambda m: pi.Server(m)),  # type: ignore[arg-type]
    "drain": (ConfigError, "drain_s: expected seconds", lambda m: pi.Server("model", drain_s=-1)),
    "no name": (ConfigError, "backends: expected text, or a list", lambda m: pi.Server("model", backends=3)),  # type: ignore[arg-type]
    "no names": (ConfigError, "backends: expected text", lambda m: pi.Server("model", backends=[3])),  # type: ignore[list-item]
    "no options": (ConfigError, "arguments: expected text", lambda m: pi.Server("model", arguments=3)),  # type: ignore[arg-type]
    "zero option": (ConfigError, "arguments: expected text", lambda m: pi.Server("model", arguments=["a\0b"])),
    "zero address": (ConfigError, "expected text", lambda m: pi.Server("model", listen="a\0b")),
    "keys": (InputError, "expected a path", lambda m: pi.make_keys(b"a")),  # type: ignore[arg-type]
    "days": (ConfigError, "days: expected 1 to 3650, found 0", lambda m: pi.make_keys("keys", days=0)),
    "timeout": (ConfigError, "timeout_s: expected seconds", lambda m: pi.Client(timeout_s=float("nan"))),
    "no time": (ConfigError, "connect_timeout_s", lambda m: pi.Client(connect_timeout_s="1")),  # type: ignore[arg-type]
    "asked backend": (ConfigError, "backend: expected one of", lambda m: pi.Client(backend="")),
    "wish": (ConfigError, "objective: expected one of online, total", lambda m: pi.Client(objective="")),  # type: ignore[arg-type]
    "prices": (InputError, "calibration: expected a path", lambda m: pi.Client(calibration=3)),  # type: ignore[arg-type]
    "builtin": (ConfigError, "nothing", lambda m: pi.Client(artifact="builtin:nothing")),
    "waiting": (LocalProtocolError, "found none started", lambda m: pi.Server("model").wait()),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_arguments(model: pi.Model, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kind, hint, call = WRONG[what]
    one_line(kind, hint, lambda: call(model))
    assert {entry.name for entry in tmp_path.iterdir()} <= {"s"}


@pytest.mark.parametrize("keyword", ["keys", "store"])
def test_places_that_cannot_be_made(tmp_path: Path, keyword: str) -> None:
    (tmp_path / "file").touch()
    calls: dict[str, Callable[[], object]] = {
        "keys": lambda: pi.make_keys(tmp_path / "file" / "keys"),
        "store": lambda: pi.Client(store=tmp_path / "file" / "store"),
    }
    one_line(InputError, "file", calls[keyword])


def test_errors_of_the_file_system_are_typed() -> None:
    for number in (28, 5, 22):
        with pytest.raises(StorageError, match="storage: "), typed():
            raise OSError(number, os.strerror(number), "place")


def test_a_full_disk_is_typed(model: pi.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pi_system.api.in_process.tempfile.TemporaryDirectory", full)
    one_line(StorageError, "storage: ", lambda: model.predict(COLOURED[0], backend="fss"))


def test_a_client_that_was_closed_is_closed(tmp_path: Path) -> None:
    client = pi.Client("127.0.0.1:1", insecure=True, store=tmp_path, connect_timeout_s=0.1)
    with client:
        pass
    client.close()
    for call in (client.available, lambda: client.prepare(1), lambda: client.predict(COLOURED)):
        one_line(LocalProtocolError, "expected an open one, found that it was closed", call)
    for count in (0, -1, 1 << 17, 1.5, None):
        one_line(InputError, "expected 1 to 65536", lambda count=count: client.prepare(count))  # type: ignore[misc]
    one_line(ConfigError, "keeps no material", lambda: pi.Client(backend="crypten", store=tmp_path).prepare(1))


def test_a_pickled_client_has_the_settings_and_no_session(tmp_path: Path) -> None:
    client = pi.Client("127.0.0.1:1", insecure=True, backend="gc", store=tmp_path, connect_timeout_s=0.1)
    client.close()
    again = ForkingPickler.loads(ForkingPickler.dumps(client))
    assert again._options == client._options
    one_line(pi.PiError, "127.0.0.1:1", again.available)


def test_a_forked_process_makes_its_own_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = pi.Client("127.0.0.1:1", insecure=True, store=tmp_path)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    one_line(LocalProtocolError, "found one forked from it", client.available)
    client.close()  # of the parent: nothing here ends its session
    monkeypatch.undo()
    assert not client._closed


def test_a_forked_process_neither_holds_nor_stops_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho listening on 127.0.0.1:1\nexec cat\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    server = pi.Server("model", insecure=True, drain_s=0.1).start()
    process = server._process
    assert process is not None
    assert process.stdin is not None
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(10)  # rather than to wait for a lock that a thread of the parent had
        held = not process.stdin.closed
        server.stop()
        os._exit(held + 2 * (server.address == ""))
    assert os.waitpid(child, 0)[1] == 0
    process.stdin.close()  # the last end of the pipe
    assert process.wait(10) == 0
    server.stop()


def test_models_are_pickled_and_used_in_threads(model: pi.Model) -> None:
    again = ForkingPickler.loads(ForkingPickler.dumps(model))
    expected, found = model.simulate(COLOURED).outputs, dict[int, Any]()
    threads = [
        threading.Thread(target=lambda k=k: found.update({k: again.predict(COLOURED[k], backend="fss")}))
        for k in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[k].label for k in range(3)] == [model.classes[row.argmax()] for row in expected[:3]]


def test_a_network_of_one_output_has_values_and_no_labels() -> None:
    rows = RNG.random((9, 4), np.float32)
    found = pi.compile(nn.Linear(4, 1), rows, classes=["price"]).simulate(rows)
    assert found[0].label is None
    assert found[0].output == "price"
    assert found.values == tuple(answer.value for answer in found)
    assert found.scores is None
    assert found.as_dict()["answers"][0] == {
        "input": "0",
        "label": None,
        "score": None,
        "value": found.values[0],
        "output": "price",
    }
    one_line(InputError, "take value or values", lambda: found.labels)
    one_line(InputError, "take labels or logits", lambda: pi.Model(mlp_artifact("relu")).simulate(np.ones(64)).values)


class Two(nn.Module):
    """Two outputs by name, and a gate that is shared and hooked."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.body, self.act = nn.Conv2d(3, 4, 6), nn.ReLU()
        self.colour, self.shape = nn.Linear(4, 3), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.act(self.act(self.body(x)).flatten(1) - 0.1)
        return {"colour": self.colour(features), "shape": self.shape(features)}


def test_several_outputs_are_named() -> None:
    network = Two().eval()
    model = pi.compile(network, COLOURED)
    assert model.classes == ("colour.0", "colour.1", "colour.2", "shape.0", "shape.1")
    with torch.no_grad():
        expected = torch.cat(list(network(torch.from_numpy(COLOURED)).values()), 1).numpy()
    assert np.abs(model.plaintext(COLOURED).outputs - expected).max() < 0.02
    named = pi.compile(network, COLOURED, classes=["red", "green", "blue", "round", "square"])
    assert named.classes[3] == "round"
    one_line(ConfigError, "expected 5 names", lambda: pi.compile(network, COLOURED, classes=["red", "green"]))


def test_networks_in_any_state(model: pi.Model) -> None:
    hooked = coloured().train()
    hooked[1].register_forward_hook(lambda part, given, found: found * 1.0)
    assert np.allclose(pi.compile(hooked, COLOURED).plaintext(COLOURED).outputs, model.plaintext(COLOURED).outputs)
    assert hooked.training
    meta = coloured().to("meta")
    one_line(UnsupportedLayerError, "load the weights first", lambda: pi.compile(meta, COLOURED))
    for wrong, hint in ((COLOURED[:, :1], "layer 0: expected 3 channels, found 1"), (COLOURED[0], "found")):
        one_line(InputError, hint, lambda wrong=wrong: pi.compile(coloured(), wrong))  # type: ignore[misc]
    larger = RNG.random((4, 3, 8, 8), np.float32)
    one_line(InputError, "layer 3: expected 64 features, found 144", lambda: pi.compile(coloured(), larger))


def test_what_fails_in_somebody_elses_code_is_named() -> None:
    def fails() -> Any:
        yield torch.from_numpy(COLOURED)
        raise KeyError("picture 3\nis gone")

    class Named(nn.Module):
        def forward(self, x: torch.Tensor) -> object:
            return SimpleNamespace(logits=x.flatten(1))

    one_line(InputError, "the loader fails: KeyError", lambda: pi.compile(coloured(), fails()))
    one_line(InputError, "real numbers, found dict", lambda: pi.compile(coloured(), [{"pixel_values": COLOURED}]))
    one_line(InputError, "to return tensors, found SimpleNamespace", lambda: pi.compile(Named(), COLOURED))


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"classes": 3}, "list of names"),
        ({"classes": {"a": 1}}, "list of names"),
        ({"options": {"ring_bits": 32}}, "options: expected QuantiseOptions"),
        ({"preprocess": 3}, "preprocess"),
        ({"compare_bits": "10"}, "compare_bits: expected full, auto or 2 to 63"),
        ({"compare_bits": 1}, "compare_bits"),
        ({"approximate": "0.01"}, "approximate: expected an error between 0 and 1, found '0.01'"),
        ({"name": Path("x")}, "name: expected text, found PosixPath"),
    ],
)
def test_settings_of_compile_that_cannot_be(settings: dict[str, Any], hint: str) -> None:
    one_line(ConfigError, hint, lambda: pi.compile(coloured(), COLOURED, **settings))


def test_compared_bits_are_looked_at_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pi_system.api.model.compile_network", lambda *_, **__: pytest.fail("it was computed"))
    one_line(
        ConfigError,
        "compare_bits: expected full, auto or 2 to 63",
        lambda: pi.compile(coloured(), COLOURED, compare_bits=0),
    )


@pytest.mark.parametrize("backend", ["gmw", "gc", "table", "fss", "crypten"])
def test_costs_are_predicted_for_every_backend(model: pi.Model, backend: str) -> None:
    known = model if backend != "table" else pi.compile(coloured(), COLOURED, compare_bits=10)
    found = pi.profile(known, backend=backend, link="10,20")
    assert found.online_ms > 0
    assert found.online_rounds > 0
    if backend != "crypten":
        assert known.predict(COLOURED[:1], backend=backend).cost.online_rounds == found.online_rounds  # type: ignore[union-attr]


def test_files_are_read_before_anybody_is_dialled(tmp_path: Path) -> None:
    with pi.Client("127.0.0.1:9", insecure=True, store=tmp_path, connect_timeout_s=0.1) as client:
        one_line(InputError, "found no such file", lambda: client.predict("nowhere.png"))
        one_line(pi.PiError, "nothing answered", lambda: client.predict(np.ones((3, 6, 6))))
