"""One of the three processes is killed in mid-run: the others get a typed error, and the server goes on serving."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from processes import ROOT, SUPPORT, toy_dealer, toy_server
from tiny_artifact import tiny_artifact
from toy_backend import SLOW_COUNT

from pi_system.artifact import save
from pi_system.errors import DealerUnavailableError, InvariantError, LocalProtocolError, PeerUnavailableError
from pi_system.rpc.client_session import ClientSession, Endpoint
from pi_system.rpc.session_config import SessionConfig

PICTURE = np.full((1, 1, 2, 2), 0.25, np.float32)
SLOW_PICTURE = np.full((1, 1, 2, 2), 1.0, np.float32)
BUG_PICTURE = np.full((1, 1, 2, 2), 2.0, np.float32)
CONFIG = SessionConfig(backend="toy", artifact_digest="", client_id=bytes(16))

SLOW_CLIENT = """
import sys
from test_rpc_killed import CONFIG, SLOW_PICTURE, endpoint
from pi_system.rpc.client_session import ClientSession
session = ClientSession(endpoint(*sys.argv[1:]), CONFIG)
session.prepare(1)
session.infer(SLOW_PICTURE)
"""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "artifact"
    save(tiny_artifact(), folder)
    return folder


@pytest.fixture(scope="module")
def dealer():
    with toy_dealer() as running:
        yield running


@pytest.fixture(scope="module")
def server(artifact, dealer):
    with toy_server(artifact, dealer[1]) as running:
        yield running


def endpoint(server: str, dealer: str) -> Endpoint:
    return Endpoint(
        server=server,
        dealer=dealer,
        store_dir=Path("unused"),
        connect_timeout_s=4.0,
        timeout_s=20.0,
        backends={"toy": "toy_backend"},
    )


def open_session(server, dealer):
    """A session, and the process id of the worker that serves it."""
    start = len(server[0].log)
    session = ClientSession(endpoint(server[1], dealer[1]), CONFIG)
    return session, int(server[0].wait_log(r"\[(\d+)\] INFO session with", start=start)[1])


def kill_soon(pid: int) -> None:
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()


def assert_serves(server, dealer):
    with ClientSession(endpoint(server[1], dealer[1]), CONFIG) as session:
        session.prepare(1)
        assert session.infer(PICTURE)[0][0, 0] == 0.25


def test_killed_worker_in_the_online_phase(server, dealer):
    session, worker = open_session(server, dealer)
    session.prepare(2)
    kill_soon(worker)
    with pytest.raises(PeerUnavailableError):
        session.infer(SLOW_PICTURE)
    with pytest.raises((PeerUnavailableError, LocalProtocolError)):  # the session is dead, nothing is retried
        session.infer(PICTURE)
    server[0].wait_log(f"worker {worker} ended")
    assert_serves(server, dealer)


def test_killed_worker_in_the_offline_phase(server, dealer):
    session, worker = open_session(server, dealer)
    kill_soon(worker)
    with pytest.raises(PeerUnavailableError):
        session.prepare(SLOW_COUNT)
    assert_serves(server, dealer)


def test_killed_client_ends_its_session_only(server, dealer):
    start = len(server[0].log)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{SUPPORT}:{Path(__file__).parent}"}
    client = subprocess.Popen([sys.executable, "-c", SLOW_CLIENT, server[1], dealer[1]], env=environment)
    try:
        server[0].wait_log("prepared 1 inferences", start=start, timeout_s=40.0)
    finally:
        client.kill()
        client.wait()
    server[0].wait_log("session ends: PeerUnavailableError", start=start)
    assert_serves(server, dealer)


def test_killed_dealer_is_named_at_both_parties(artifact):
    with toy_dealer() as dealer, toy_server(artifact, dealer[1]) as server:
        session, _ = open_session(server, dealer)
        kill_soon(dealer[0].popen.pid)
        with pytest.raises(DealerUnavailableError):
            session.prepare(SLOW_COUNT)
        server[0].wait_log("session ends: (DealerUnavailableError|PeerUnavailableError)")
        with pytest.raises(DealerUnavailableError):
            ClientSession(endpoint(server[1], "127.0.0.1:9"), CONFIG).prepare(1)


def test_bug_at_the_server_becomes_an_error_without_its_text(server, dealer):
    session, _ = open_session(server, dealer)
    session.prepare(1)
    with pytest.raises(InvariantError) as caught:
        session.infer(BUG_PICTURE)
    assert "secret" not in str(caught.value)
    assert_serves(server, dealer)


def test_stopped_peer_is_noticed_by_keepalive(server, dealer):
    session, worker = open_session(server, dealer)
    session.prepare(1)
    os.kill(worker, signal.SIGSTOP)
    try:
        with pytest.raises(PeerUnavailableError):
            session.infer(PICTURE)
    finally:
        os.kill(worker, signal.SIGKILL)
    assert_serves(server, dealer)
