"""``pi-client infer --profile`` between real processes: both halves on one clock, where the server allows it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from parties import uses_in
from processes import ALL_BACKENDS, model_folder, pi_client, pi_server
from scaled_artifact import relu_artifact
from trace_reader import profile_of

LAYERS = {"input", "conv1", "relu1", "conv2", "relu2", "flatten", "fc", "output"}
TALKING = {"fss": {"input", "relu1", "relu2", "output"}, "gmw": {"input", "relu1", "relu2", "output"}}
TALKING["crypten"] = {"conv1", "relu1", "conv2", "relu2", "fc", "output"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return model_folder(tmp_path_factory.mktemp("profile"), relu_artifact(0.1))


@contextmanager
def serving(folder: Path, dealer: Any, *arguments: Any) -> Iterator[Any]:
    options = (*ALL_BACKENDS, "--insecure", "--reveal", "logits", "--dealer", dealer, *arguments)
    with pi_server(folder / "model", folder / "server-store", *options) as (_, address):
        infer = ("infer", "a.png", "--json", "--insecure")
        yield partial(pi_client, folder, *infer, PI_SERVER=address, PI_DEALER=dealer)


@pytest.fixture(scope="module")
def allowed(folder: Path, dealer: str) -> Iterator[Any]:
    with serving(folder, dealer, "--allow-profile") as infer:
        yield infer


def total(spans: Any, field: Any) -> Any:
    return sum(getattr(span, field) for span in spans)


def check_clocks(trace: Any) -> None:
    """The server cannot hold the client's first message before it was sent, nor send its last after it came."""
    error_us = trace["otherData"]["phases"]["online"]["clock_error_us"]
    events = [e for e in trace["traceEvents"] if e["ph"] == "X" and e["cat"] == "online"]
    first_send = min(e["ts"] for e in events if e["pid"] == 1 and e["args"]["sent_bytes"])
    received = min(e["ts"] + e["dur"] for e in events if e["pid"] == 2 and e["args"]["received_bytes"])
    sent = max(e["ts"] for e in events if e["pid"] == 2 and e["args"]["sent_bytes"])
    last_received = max(e["ts"] + e["dur"] for e in events if e["pid"] == 1 and e["args"]["received_bytes"])
    assert first_send - error_us <= received
    assert sent <= last_received + error_us


def check_no_time_is_missing(trace: Any) -> None:
    """The client's pieces follow each other, from the first to the last."""
    events = [e for e in trace["traceEvents"] if e["ph"] == "X" and e["cat"] == "online" and e["pid"] == 1]
    events.sort(key=lambda event: (event["ts"], event["dur"]))
    for before, after in pairwise(events):
        assert after["ts"] == pytest.approx(before["ts"] + before["dur"], abs=0.01), (before, after)


@pytest.mark.parametrize("backend", list(TALKING))
def test_both_halves_explain_the_online_phase(allowed: Any, folder: Path, backend: str) -> None:
    completed = allowed("--profile", f"{backend}.json", "--backend", backend, "--store", f"store-{backend}")
    assert completed.returncode == 0, completed.stderr
    result = json.loads(completed.stdout)
    trace = json.loads((folder / f"{backend}.json").read_text())
    other = trace["otherData"]
    assert (other["backend"], other["network"]) == (backend, "scaled")
    assert "the server's clock is placed to" in completed.stderr

    spans = [span for span in profile_of(folder / f"{backend}.json") if span.phase == "online"]
    client, server = ([span for span in spans if span.party == party] for party in ("client", "server"))
    explained_ms = sum(total(client, f"{track}_us") for track in ("compute", "wait", "transfer")) / 1e3
    check_no_time_is_missing(trace)
    assert other["phases"]["online"]["client_coverage"] == pytest.approx(explained_ms / result["online_ms"])
    assert total(client, "rounds") == result["online_rounds"]
    assert total(client, "sent_bytes") == total(server, "received_bytes") == result["online_bytes"]["client_to_server"]
    assert total(client, "received_bytes") == total(server, "sent_bytes") == result["online_bytes"]["server_to_client"]
    assert {span.layer for span in server} == LAYERS
    check_clocks(trace)
    assert {span.layer for span in client if span.sent_bytes + span.received_bytes} == TALKING[backend]


def test_the_offline_phase_is_in_the_trace_and_nothing_that_identifies_material(allowed: Any, folder: Path) -> None:
    done = allowed("--profile", "offline.json", "--store", "store-offline", "--backend", "gmw")
    assert done.returncode == 0, done.stderr
    spans = [span for span in profile_of(folder / "offline.json") if span.phase == "offline"]
    assert {(span.party, span.layer) for span in spans} == {
        (party, step) for party in ("client", "server") for step in ("setup", "linear", "gates", "store")
    }
    text = (folder / "offline.json").read_text()
    client_id = (folder / "store-offline" / "client_id").read_bytes().hex()
    used = set(uses_in(folder / "store-offline" / "client"))
    assert used
    assert not any(name in text for name in {client_id, *used})


def test_a_server_that_was_not_asked_to_gives_nothing(folder: Path, dealer: str) -> None:
    with serving(folder, dealer, "--backend", "gmw") as infer:
        completed = infer("--profile", "half.json", "--store", "store-half")
        assert completed.returncode == 0, completed.stderr
        assert completed.stderr.count("the server does not give its half (pi-server serve --allow-profile)") == 2
        spans = profile_of(folder / "half.json")
        assert {span.party for span in spans} == {"client"}
        assert {"relu1", "setup"} <= {span.layer for span in spans}
