"""One of the three processes is killed in mid-run: the others get a typed error, and the server goes on serving."""

import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import ENVIRONMENT, SOURCES, toy_dealer, toy_server
from toy_backend import SLOW_COUNT
from toy_sessions import PICTURE, Toy

from pi_system.errors import DealerUnavailableError, InvariantError, LocalProtocolError, PeerUnavailableError

SLOW_PICTURE = np.full((1, 1, 2, 2), 1.0, np.float32)
BUG_PICTURE = np.full((1, 1, 2, 2), 2.0, np.float32)

SLOW_CLIENT = """
import sys
from test_rpc_killed import SLOW_PICTURE
from toy_sessions import Toy
toy = Toy(None, (None, sys.argv[1]), (None, sys.argv[2]))
session = toy.session_on_a_line() if sys.argv[3] == "True" else toy.session(line=False)
session.prepare(1)
session.infer(SLOW_PICTURE)
"""


@pytest.fixture(params=[True, False], ids=["line", "stream"])
def line(request: Any) -> bool:
    """Whether online phases take a line."""
    return bool(request.param)


def open_session(toy: Any, line: bool = False) -> Any:
    """A session, and the process id of the worker that serves it."""
    start = len(toy.server[0].log)
    session = toy.session_on_a_line(connect_timeout_s=4.0) if line else toy.session(connect_timeout_s=4.0, line=False)
    return session, int(toy.server[0].wait_log(r"\[(\d+)\] INFO \[.*\] session with", start=start)[1])


def kill_soon(pid: int) -> None:
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()


def test_killed_worker_in_the_online_phase(toy: Toy, line: bool) -> None:
    session, worker = open_session(toy, line)
    session.prepare(2)
    kill_soon(worker)
    with pytest.raises(PeerUnavailableError):
        session.infer(SLOW_PICTURE)
    with pytest.raises((PeerUnavailableError, LocalProtocolError)):  # the session is dead, nothing is retried
        session.infer(PICTURE)
    toy.server[0].wait_log(f"worker {worker} ended")
    toy.assert_serves()


def test_a_line_alone_that_ends_is_the_phases_end(toy: Toy) -> None:
    session, _ = open_session(toy, line=True)
    session.prepare(1)
    threading.Timer(0.3, shut, (session._line._line._end,)).start()
    with pytest.raises(PeerUnavailableError, match="closed the line"):
        session.infer(SLOW_PICTURE)
    toy.assert_serves()


def test_a_line_that_ends_between_phases_is_done_without(toy: Toy) -> None:
    session, _ = open_session(toy, line=True)
    session.prepare(2)
    assert session.infer(PICTURE)[0][0, 0] == 0.25
    shut(session._line._line._end)
    assert session.infer(PICTURE)[0][0, 0] == 0.25
    session.close()


def shut(end: socket.socket) -> None:
    """End a connection as something between the two ends would."""
    socket.socket.shutdown(end, socket.SHUT_RDWR)


def test_killed_worker_in_the_offline_phase(toy: Toy) -> None:
    session, worker = open_session(toy)
    kill_soon(worker)
    with pytest.raises(PeerUnavailableError):
        session.prepare(SLOW_COUNT)
    toy.assert_serves()


def test_killed_client_ends_its_session_only(toy: Toy, line: bool) -> None:
    start = len(toy.server[0].log)
    environment = ENVIRONMENT | {"PYTHONPATH": f"{SOURCES}:{Path(__file__).parent}"}
    client = subprocess.Popen(
        [sys.executable, "-c", SLOW_CLIENT, toy.dealer[1], toy.server[1], str(line)], env=environment
    )
    try:
        toy.server[0].wait_log("prepared 1 inferences", start=start, timeout_s=40.0)
    finally:
        client.kill()
        client.wait()
    toy.server[0].wait_log("session ends: PeerUnavailableError", start=start)
    toy.assert_serves()


def test_killed_dealer_is_named_at_both_parties(toy: Toy) -> None:
    with toy_dealer() as dealer, toy_server(toy.model, dealer[1]) as server:
        toy = replace(toy, dealer=dealer, server=server)
        session, _ = open_session(toy)
        kill_soon(dealer[0].popen.pid)
        with pytest.raises(DealerUnavailableError):
            session.prepare(SLOW_COUNT)
        server[0].wait_log("session ends: (DealerUnavailableError|PeerUnavailableError)")
        with pytest.raises(DealerUnavailableError):
            toy.session(dealer="127.0.0.1:9", connect_timeout_s=4.0).prepare(1)


def test_bug_at_the_server_becomes_an_error_without_its_text(toy: Toy, line: bool) -> None:
    session, _ = open_session(toy, line)
    session.prepare(1)
    with pytest.raises(InvariantError) as caught:
        session.infer(BUG_PICTURE)
    assert "secret" not in str(caught.value)
    toy.assert_serves()


def test_stopped_peer_is_noticed_by_keepalive(toy: Toy, line: bool) -> None:
    session, worker = open_session(toy, line)
    session.prepare(1)
    os.kill(worker, signal.SIGSTOP)
    try:
        with pytest.raises(PeerUnavailableError):
            session.infer(PICTURE)
    finally:
        os.kill(worker, signal.SIGKILL)
    toy.assert_serves()
