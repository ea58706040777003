"""pi-server and pi-client as an operator meets them: probes, reload, full disks, closed outputs, many pictures."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from parties import uses_in
from processes import ROOT, gmw_session, model_folder, pi_client, started
from scaled_artifact import relu_artifact

from pi_system.artifact import load_public, save
from pi_system.cli.service import describe
from pi_system.rpc.keys import write_keys
from pi_system.rpc.tls import Identity

CLIENT_SMALL = (
    "import resource, sys; from pi_system.secure.store import MaterialStore; making = MaterialStore.making\n"
    "def small(*values): resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)); return making(*values)\n"
    "MaterialStore.making = small; from pi_client.cli import main; main(sys.argv[1:])"
)
"""A client whose disk is full when its first inference is prepared."""
CLIENT_BATCHES = (
    "import sys; from pi_system.rpc import client_session; client_session.MAX_BATCH = 2; "
    "from pi_client.cli import main; main(sys.argv[1:])"
)
"""A client whose batches are of two pictures."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return model_folder(tmp_path_factory.mktemp("operations"), relu_artifact(0.1))


@pytest.fixture(scope="module")
def serve(folder: Path, link_keys: Path) -> Iterator[Any]:
    with ExitStack() as stack:

        def start(
            name: str,
            *arguments: Any,
            program: Any = ("-m", "pi_server.cli"),
            artifact: str = "model",
            keys: Any = link_keys,
        ) -> Any:
            fixed = ["--artifact", f"{folder}/{artifact}", "--listen", "127.0.0.1:0", "--keys", f"{keys}/server"]
            return stack.enter_context(started(*program, "serve", *fixed, "--store", f"{folder}/{name}", *arguments))

        yield start


@pytest.fixture(scope="module")
def server(serve: Callable[..., Any]) -> Any:
    return serve("store", "--health", "127.0.0.1:0", "--metrics", "127.0.0.1:0")


@pytest.fixture
def client(folder: Path, link_keys: Path) -> Any:
    def run(address: str, *arguments: Any, code: str = "", **how: Any) -> Any:
        return pi_client(folder, *arguments, code=code, how=how, PI_SERVER=address, PI_KEYS=f"{link_keys}/client")

    return run


def get(server: Any, path: Any) -> Any:
    address = server[0].wait_log(r"metrics at (\S+)")[1]
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def wait_health(server: Any, service: Any, expected: Any) -> None:
    """It is looked at once a second."""
    until_s = time.monotonic() + 30
    request = health_pb2.HealthCheckRequest(service=service)
    with grpc.insecure_channel(server[0].wait_log(r"health at (\S+)")[1]) as channel:
        while health_pb2_grpc.HealthStub(channel).Check(request, timeout=10).status != expected:
            assert time.monotonic() < until_s
            time.sleep(0.2)


def test_probes_and_metrics(server: Any, folder: Path) -> None:
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert get(server, "/livez") == (200, "alive\n")
    assert get(server, "/readyz") == (200, "ready\n")
    for service in ("", "liveness", "readiness"):
        wait_health(server, service, serving)
    code, text = get(server, "/metrics")
    assert code == 200
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert (found["pi_server_places"], found["pi_server_taken"], found["pi_server_ready"]) == ("4.0", "0.0", "1.0")
    assert 0 < float(found["pi_server_certificate_days"]) < 10_000
    assert float(found["pi_server_material_bytes"]) >= 0
    assert get(server, "/else")[0] == 404

    store, aside = folder / "store", folder / "aside"
    store.rename(aside)
    code, text = get(server, "/readyz")
    assert (code, text) == (
        503,
        "storage: clients.sqlite3: expected the one that there was, found none; put a copy back\n",
    )
    shutil.rmtree(store)
    store.write_text("no folder")
    try:
        code, text = get(server, "/readyz")
        assert code == 503
        assert text.startswith("store: cannot be written: ")
        assert get(server, "/livez")[0] == 200
        wait_health(server, "readiness", not_serving)
    finally:
        store.unlink()
        aside.rename(store)
    assert get(server, "/readyz")[0] == 200


def test_a_connection_that_tls_refuses_is_logged(server: Any, link_keys: Path) -> None:
    host, _, port = server[1].rpartition(":")
    context = ssl.create_default_context(cafile=link_keys / "client" / "authority.pem")
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain) as bare:
        with suppress(OSError):  # the end, or an alert
            bare.recv(1)
    line = server[0].wait_log("TLS: 1 connections refused in the handshake: PEER_DID_NOT_RETURN_A_CERTIFICATE")
    assert "pi-server" in line.string


def test_a_server_whose_places_are_all_taken_is_healthy(serve: Any, folder: Path, link_keys: Any) -> None:
    server = serve("store-busy", "--max-sessions", "1", "--metrics", "127.0.0.1:0")
    with gmw_session(server[1], folder / "client-busy", link_keys / "client"):
        until_s = time.monotonic() + 10  # it is counted anew twice a second
        while "pi_server_taken 1.0" not in get(server, "/metrics")[1]:
            assert time.monotonic() < until_s
        assert get(server, "/readyz") == (200, "ready\n")
        assert get(server, "/livez") == (200, "alive\n")


def test_a_server_answers_with_the_model_it_read_until_it_is_told_to_read_again(
    serve: Any, folder: Path, link_keys: Any
) -> None:
    save(relu_artifact(0.2), folder / "changing")
    server, identity = serve("store-changing", artifact="changing"), Identity.load(link_keys / "client")

    def digest() -> Any:
        return describe(server[1], "server", 10.0, identity).artifact_digest

    first = load_public(folder / "changing").public.digest
    (folder / "changing" / "public.json").write_text("damaged")
    assert digest() == first
    server[0].popen.send_signal(signal.SIGHUP)
    server[0].wait_log("reload failed, everything stays as it was")
    assert digest() == first
    shutil.rmtree(folder / "changing")
    save(relu_artifact(0.3), folder / "changing")
    second = load_public(folder / "changing").public.digest
    assert first != second
    server[0].popen.send_signal(signal.SIGHUP)
    server[0].wait_log(f"reloaded: artifact {second[:16]}")
    until_s = time.monotonic() + 30
    while digest() != second:  # a process that was told to end may answer once more
        assert time.monotonic() < until_s


def test_a_certificate_that_expires_soon_is_warned_of(serve: Callable[..., Any], tmp_path: Path) -> None:
    write_keys(tmp_path / "keys", 5)
    serve("store-soon", keys=tmp_path / "keys")[0].wait_log(r"certificate: expires in 5\.0 days")


def limit_files(server: Any, size: int) -> None:
    """Every longer file of its processes fails, as on a full disk."""
    parent = psutil.Process(server[0].popen.pid)
    for process in (parent, *parent.children(recursive=True)):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_full_disk_of_the_server_is_typed_leaves_no_parts_and_costs_no_place(
    serve: Any, client: Any, folder: Path
) -> None:
    server = serve("store-small", "--max-sessions", "1")
    limit_files(server, 6000)
    completed = client(server[1], "infer", "a.png", "--store", "client-small")
    assert completed.returncode == 60
    assert re.fullmatch(r"error: storage: .*(disk I/O error|full) \(request [0-9a-f]{16}\)\n", completed.stderr)
    server[0].wait_log("session ends: StorageError: storage: .*sqlite3: ")
    assert not list((folder / "store-small").rglob("*.part"))
    assert not list((folder / "client-small").rglob("*.ready"))
    for _ in range(2):  # a worker may just have been forked
        limit_files(server, resource.RLIM_INFINITY)
        time.sleep(0.3)
    completed = client(server[1], "infer", "a.png", "--store", "client-small", "--timeout", "20")
    assert completed.returncode == 0, completed.stderr


def test_a_full_disk_of_the_client_is_typed_and_leaves_no_parts(server: Any, client: Any, folder: Path) -> None:
    completed = client(server[1], "infer", "a.png", "--store", "client-full", code=CLIENT_SMALL)
    assert completed.returncode == 60
    assert re.fullmatch(r"error: storage: File too large( \(request [0-9a-f]{16}\))?\n", completed.stderr)
    assert not list((folder / "client-full").rglob("*.part"))


def test_a_result_that_stdout_does_not_take_is_on_stderr(server: Any, client: Any) -> None:
    with open("/dev/full", "w") as full:
        completed = client(server[1], "infer", "a.png", "--json", "--store", "client-stdout", stdout=full)
    assert completed.returncode == 60
    result, error = completed.stderr.splitlines()
    assert json.loads(result)["predictions"][0]["path"] == "a.png"
    assert error == "error: stdout: No space left on device; the result is on stderr"


def test_nothing_is_spent_where_stdout_is_closed(server: Any, client: Any, folder: Path) -> None:
    completed = client(
        server[1], "infer", "a.png", "--store", "client-closed", stdout=None, preexec_fn=lambda: os.close(1)
    )
    assert completed.returncode == 60
    assert completed.stderr == "error: stdout: expected one for the result, found it closed\n"
    assert not uses_in(folder / "client-closed" / "client")


def test_a_picture_that_cannot_be_used_is_said_before_a_server_is_tried(client: Any, folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    completed = client("127.0.0.1:9", "infer", "a.png", "bad.png", "--store", "client-bad")
    assert completed.returncode == 11
    assert completed.stderr.startswith("error: bad.png: expected a PNG, JPEG, TIFF or DICOM picture")


@pytest.mark.parametrize("value", ["nan", "inf", "0", "-1", "soon"])
@pytest.mark.parametrize("option", ["--timeout", "--connect-timeout"])
def test_a_time_that_is_none_is_a_usage_error(client: Any, option: str, value: str) -> None:
    completed = client("127.0.0.1:9", "infer", "a.png", f"{option}={value}")
    assert completed.returncode == 2
    assert "Traceback" not in completed.stderr


def test_more_pictures_than_a_batch_are_several(server: Any, client: Any, folder: Path) -> None:
    arguments = ("infer", *["a.png"] * 5, "--json", "--store", "client-many")
    completed = client(server[1], *arguments, code=CLIENT_BATCHES)
    assert completed.returncode == 0, completed.stderr
    result = json.loads(completed.stdout)
    assert len(result["predictions"]) == 5
    assert len({prediction["class"] for prediction in result["predictions"]}) == 1
    assert len(uses_in(folder / "client-many" / "client")) == 5
    assert result["prepared_now"]


def test_the_probe_of_compose_tells_ready_from_not(server: Any, folder: Path) -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    _, *probe = json.loads(re.search(r"test: (\[.*readyz.*\])", compose)[1])  # type: ignore[index]
    port = server[0].wait_log(r"metrics at \S+:(\d+)")[1]
    here = [word.replace("7180", port) for word in probe]
    assert "7180" in " ".join(probe)
    assert "--metrics 127.0.0.1:7180" in compose
    assert subprocess.run(here, check=False).returncode == 0
    assert subprocess.run([word.replace("readyz", "else") for word in here], check=False).returncode != 0
