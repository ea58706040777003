"""pi-client gateway as a process, before a pi-server as a process: callers that have nothing but the specification."""

import base64
import http.client
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from gateways import wait_until
from mlp_artifact import mlp_artifact
from PIL import Image
from processes import ENVIRONMENT, Process, pi_server, started

import pi_system as pi
from pi_system._proto import open_inference_pb2 as pb

PIXELS = np.random.default_rng(3).integers(0, 256, (2, 1, 8, 8), np.uint8)


@dataclass(frozen=True)
class Running:
    server: Process
    gateway: Process
    rest: str
    grpc: str
    model: pi.Model
    name: str

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON."""
        connection = http.client.HTTPConnection(self.rest, timeout=60)
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        found = response.status, json.loads(response.read())
        connection.close()
        return found

    def labels(self) -> list[str]:
        """Of PIXELS, computed in the clear."""
        preprocess = self.model.artifact.public.preprocess
        return list(self.model.simulate((PIXELS / np.float32(255) - preprocess.mean[0]) / preprocess.std[0]).labels)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, link_keys: Path) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    model = pi.Model(mlp_artifact("relu"))
    model.save(folder / "model")
    with pi_server(
        folder / "model", folder / "server", "--keys", f"{link_keys}/server", "--reveal", "scores"
    ) as server:
        places = ("--server", server[1], "--keys", f"{link_keys}/client", "--store", str(folder / "client"))
        listen = ("--listen", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--prepare", "2", "--name", "mlp")
        program = ("-m", "pi_client.cli", "--log-level", "DEBUG", "gateway")
        with started(*program, *places, *listen) as (gateway, rest):
            at = gateway.first_line.rpartition(" ")[2]
            yield Running(server[0], gateway, rest, at, model, "mlp")


def test_a_caller_with_json_gets_the_label(running: Running) -> None:
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [2, 1, 8, 8], "data": PIXELS.ravel().tolist()}
    status, answer = running.ask("POST", "/v2/models/mlp/infer", {"id": "a", "inputs": [tensor]})
    assert status == 200, answer
    assert (answer["id"], answer["model_name"]) == ("a", "mlp")
    outputs = {one["name"]: one for one in answer["outputs"]}
    assert outputs["label"]["data"] == running.labels()
    assert outputs["scores"]["shape"] == [2, len(running.model.artifact.public.preprocess.classes)]
    assert running.ask("GET", "/v2/health/ready") == (200, {"ready": True})


def test_a_caller_with_grpc_gets_the_label(running: Running) -> None:
    one = pb.ModelInferRequest.InferInputTensor(name="pixels", datatype="UINT8", shape=PIXELS.shape)
    asked = pb.ModelInferRequest(model_name="mlp", inputs=[one], raw_input_contents=[PIXELS.tobytes()])
    with grpc.insecure_channel(running.grpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", None, None)
        answer = pb.ModelInferResponse.FromString(call(asked.SerializeToString(), timeout=60))
    index = [output.name for output in answer.outputs].index("class")
    classes = running.model.artifact.public.preprocess.classes
    found = np.frombuffer(answer.raw_output_contents[index], "<i8")
    assert [classes[one] for one in found] == running.labels()


def test_material_is_prepared_ahead(running: Running) -> None:
    wait_until(lambda: any("preparing 2 inferences" in line for line in running.server.log))


def test_nothing_of_the_picture_is_logged_here_or_there(running: Running) -> None:
    value = base64.b64encode(PIXELS.tobytes()).decode()
    broken = {"name": "picture", "datatype": "BYTES", "shape": [1], "data": [value]}
    assert running.ask("POST", "/v2/models/mlp/infer", {"inputs": [broken]})[0] == 400
    for log in (running.gateway.log, running.server.log):
        assert not any(value[:16] in line or str(PIXELS.ravel().tolist()[:4])[1:-1] in line for line in log)


_STOCK = """
import sys
import numpy as np
import tritonclient.grpc, tritonclient.http
for module, address in ((tritonclient.http, sys.argv[1]), (tritonclient.grpc, sys.argv[2])):
    client = module.InferenceServerClient(address)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("mlp")
    picture = module.InferInput("picture", [1], "BYTES")
    picture.set_data_from_numpy(np.array([open(sys.argv[3], "rb").read()], object))
    pixels = module.InferInput("pixels", [2, 1, 8, 8], "UINT8")
    pixels.set_data_from_numpy(np.load(sys.argv[4]))
    for asked in (picture, pixels):
        print(*(label.decode() for label in client.infer("mlp", [asked]).as_numpy("label")))
    try:
        client.infer("other", [pixels])
    except Exception as error:
        print(error.message())
"""


@pytest.fixture(scope="session")
def tritonclient(pytestconfig: pytest.Config) -> str:
    """A folder with tritonclient, which wants another protobuf than this package; kept for the next run."""
    folder = pytestconfig.cache.mkdir("tritonclient") / "2.73"
    if not (folder / "tritonclient").is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "0"]
        made = subprocess.run(
            [*command, "--target", str(folder), "tritonclient[http,grpc]==2.73.0"], capture_output=True, text=True
        )
        if made.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            pytest.skip("tritonclient 2.73.0 is not to be had from the package index")
    return str(folder)


@pytest.mark.slow
def test_the_stock_client_gets_the_label(running: Running, tritonclient: str, tmp_path: Path) -> None:
    Image.fromarray(PIXELS[0, 0]).resize((16, 16), Image.Resampling.NEAREST).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", PIXELS)
    files = (str(tmp_path / "a.png"), str(tmp_path / "a.npy"))
    found = subprocess.run(
        [sys.executable, "-c", _STOCK, running.rest, running.grpc, *files],
        env=ENVIRONMENT | {"PYTHONPATH": tritonclient},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    unknown = "model: expected 'mlp', found 'other'"
    label = running.model.simulate(files[0]).label
    assert found.stdout.splitlines() == [str(label), " ".join(running.labels()), unknown] * 2


def test_it_ends_what_was_asked_and_a_server_that_went_is_told(running: Running) -> None:
    """The last one: nothing runs after it."""
    running.server.popen.kill()
    wait_until(lambda: running.ask("GET", "/v2/health/ready")[0] == 503)
    assert running.ask("GET", "/v2/health/live") == (200, {"live": True})
    running.gateway.popen.send_signal(signal.SIGTERM)
    assert running.gateway.popen.wait(20) == 0
