"""Real server processes under clients that crowd, idle, trickle or say nothing, and under signals."""

import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from processes import toy_server
from toy_backend import SLOW_COUNT
from toy_sessions import CONFIG, PICTURE, Toy

from pi_server.options import ServerOptions
from pi_server.supervisor import Supervisor
from pi_system._proto.v1.control_pb2 import ClientEnvelope, ClientHello, Infer
from pi_system.artifact import load
from pi_system.cli.service import describe
from pi_system.errors import BusyError, InvariantError, PeerTimeoutError, PeerUnavailableError, PiError
from pi_system.rpc.envelope import read_server, write
from pi_system.rpc.frames import DATA
from pi_system.rpc.session_config import SESSION_METHOD, Hello, SessionConfig, hello_to_proto
from pi_system.rpc.transport import dial

OTHER = replace(CONFIG, client_id=bytes([1]) * 16)


@pytest.fixture
def serve(toy: Toy) -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(toy_server(toy.model, toy.dealer[1], **options))


@pytest.fixture
def connect(toy: Toy) -> Iterator[Any]:
    """Opens sessions; ends them after the test."""
    sessions = []

    def open_session(server: Any, config: SessionConfig = CONFIG, **changes: Any) -> Any:
        sessions.append(replace(toy, server=server).session(config, **changes))
        return sessions[-1]

    yield open_session
    for session in sessions:
        session._abort(PiError("the test is over"))


def assert_serves(session: Any) -> None:
    session.prepare(1)
    assert session.infer(PICTURE)[0][0, 0] == 0.25


def test_a_crowd_is_served_one_after_the_other_and_told_to_wait(serve: Any, connect: Any) -> None:
    server, told = serve(max_sessions=2), list[Any]()

    def classify(index: Any) -> None:
        config = replace(CONFIG, client_id=bytes([index]) * 16)
        session = connect(server, config, busy_timeout_s=60.0, on_busy=told.append)
        assert_serves(session)
        session.close()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(classify, range(12), timeout=60))
    assert any(busy.ticket for busy in told)
    assert all(0 < busy.retry_s <= 20 for busy in told)


@pytest.mark.slow
def test_an_idle_session_gives_way_to_who_waits_and_only_then(serve: Any, connect: Any) -> None:
    server = serve(max_sessions=1)
    idle = connect(server)
    time.sleep(6.0)
    idle.prepare(1)  # nobody waited
    assert_serves(connect(server, OTHER, busy_timeout_s=20.0))
    with pytest.raises(PeerTimeoutError, match=r"within 5.0 s while others wait"):
        idle.infer(PICTURE)


@pytest.mark.slow
def test_who_says_hello_and_nothing_more_gives_way_to_who_waits(serve: Any, connect: Any) -> None:
    """Its session is not set up: no command is waited for yet, and nothing is at work either."""
    server = serve(max_sessions=1, timeout=120)
    hello = hello_to_proto(Hello(config=replace(CONFIG, backend="insecure-ideal")))
    silent = dial(server[1], SESSION_METHOD, connect_timeout_s=20.0, timeout_s=60.0, peer="server")
    write(silent.stream, ClientEnvelope(hello=hello))
    assert read_server(silent.stream, "hello")
    assert_serves(connect(server, OTHER, busy_timeout_s=60.0))
    server[0].wait_log("session ends: PeerTimeoutError: server: expected a command within 5.0 s while others wait")
    silent.abort(PiError("the test is over"))


def test_a_thousand_silent_connections_do_not_stop_service(serve: Any, connect: Any) -> None:
    server = serve()
    host, _, port = server[1].rpartition(":")
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(socket.create_connection((host, int(port))))
        assert_serves(connect(server))
        assert describe(server[1], "server", 5.0).role == "server"


def test_a_silent_connection_is_closed_within_seconds(serve: Any) -> None:
    host, _, port = serve()[1].rpartition(":")
    with socket.create_connection((host, int(port))) as silent:
        silent.settimeout(15.0)
        while silent.recv(4096):  # the server's greeting, then the end
            pass


def test_a_byte_now_and_then_does_not_keep_a_phase_alive(serve: Any, connect: Any, dealer: str) -> None:
    server = serve(infer_limit=1.0)
    session = connect(server)
    session.prepare(1)
    stream, (name,) = session._connection.stream, session._runtime.reserve(1)
    write(stream, ClientEnvelope(infer=Infer(ids=[name])))
    read_server(stream, "ready")
    stream.write(np.array([1, 1 << 20], np.int64).tobytes(), DATA)
    stream.read_data(1)
    with pytest.raises(PeerTimeoutError, match="expected the online phase within 1 s in all"):
        trickle(stream)


def trickle(stream: Any) -> None:
    """Pieces of a message, far from its end, for as long as they are taken."""
    for _ in range(150):
        stream.write(b"x", 3)
        time.sleep(0.1)


def test_a_hello_that_names_a_link_to_imitate_is_served_as_any_other(serve: Any, dealer: Any) -> None:
    """Servers of before slept as that field said, for days."""
    server, hello = serve(max_sessions=1), hello_to_proto(Hello(config=CONFIG)).SerializeToString()
    link = b"0.000001,10000"
    old = ClientEnvelope(hello=ClientHello.FromString(hello + bytes([6 << 3 | 2, len(link)]) + link))
    connection = dial(server[1], SESSION_METHOD, connect_timeout_s=20.0, timeout_s=10.0, peer="server")
    write(connection.stream, old)
    assert read_server(connection.stream, "hello").hello.public_model_bytes > 0
    connection.abort(PiError("the test is over"))


def test_describe_is_answered_at_full_load(serve: Any, connect: Any) -> None:
    server = serve(max_sessions=1)
    connect(server)
    for _ in range(5):
        assert describe(server[1], "server", 5.0).role == "server"


def prepare_slowly(session: Any) -> Any:
    """An offline phase that ends with its server, in a thread."""

    def run() -> None:
        with pytest.raises(PiError):
            session.prepare(SLOW_COUNT)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_offline_phases_leave_a_place_to_inference(serve: Any, connect: Any) -> None:
    server = serve(max_sessions=2, reserved=1)
    preparing = prepare_slowly(connect(server))
    server[0].wait_log(f"preparing {SLOW_COUNT}")
    inferring = connect(server, OTHER)
    with pytest.raises(BusyError) as caught:
        inferring.prepare(1)
    with pytest.raises(BusyError, match="no place for preparing"):
        connect(server, OTHER, prepares=True, ticket=caught.value.ticket, busy_timeout_s=0.5)
    connect(server, OTHER)
    server[0].popen.kill()
    preparing.join(20)


def test_a_killed_fork_server_is_replaced_and_its_workers_go_on(serve: Any, connect: Any) -> None:
    server = serve()
    session = connect(server)
    supervisor = psutil.Process(server[0].popen.pid)
    (fork_server,) = [process for process in supervisor.children() if process.children()]
    fork_server.kill()
    assert_serves(session)
    for _ in range(3):  # more than there were idle workers
        assert_serves(connect(server, OTHER))


def test_workers_that_cannot_be_started_end_the_server_with_a_typed_error(
    monkeypatch: pytest.MonkeyPatch, toy: Toy, tmp_path: Path
) -> None:
    options = ServerOptions(
        artifact=load(toy.model), listen="127.0.0.1:0", dealer=None, store_dir=tmp_path, allowed=("gmw",)
    )
    supervisor = Supervisor(options, lambda address: None)
    monkeypatch.setattr(supervisor._context, "Process", Unstartable)
    with pytest.raises(InvariantError, match="expected workers to start, found 3 that did not: Connection refused"):
        supervisor.run()


def test_a_running_server_outlives_a_time_without_descriptors(serve: Any, connect: Any) -> None:
    server = serve(metrics="127.0.0.1:0")
    pid, (_, most) = server[0].popen.pid, resource.getrlimit(resource.RLIMIT_NOFILE)
    running = connect(server)
    server[0].wait_log("session with .* starts")
    supervisor = psutil.Process(pid)
    supervisor.rlimit(psutil.RLIMIT_NOFILE, (3, most))  # a pipe to a worker needs two
    (fork_server,) = [process for process in supervisor.children() if process.children()]
    for worker in fork_server.children():
        if not any(held.status == "ESTABLISHED" for held in worker.net_connections()):
            worker.kill()
    server[0].wait_log("a worker could not be started: Too many open files; tried again in 1 s")
    assert_serves(running)
    supervisor.rlimit(psutil.RLIMIT_NOFILE, (most, most))
    assert_serves(connect(server, OTHER))


class Unstartable:
    def __init__(self, **_: Any) -> None:
        """As multiprocessing's, whose fork server is gone."""

    def start(self) -> None:
        raise ConnectionRefusedError(111, "Connection refused")


def test_sigterm_lets_a_session_end(serve: Any, connect: Any) -> None:
    server = serve(drain=20.0)
    session = connect(server)
    server[0].popen.send_signal(signal.SIGTERM)
    server[0].wait_log("stopping: 1 sessions have 20 s to end")
    with pytest.raises(PeerUnavailableError):
        connect(server, OTHER, connect_timeout_s=0.5)
    assert_serves(session)
    session.close()
    assert server[0].popen.wait(10) == 0
    server[0].wait_log("stopped: 0 sessions were cut off")


@pytest.mark.parametrize("twice", [False, True], ids=["after the drain", "at a second signal"])
def test_sigterm_ends_a_session_that_does_not_end(serve: Any, connect: Any, twice: bool) -> None:
    server = serve(drain=60.0 if twice else 1.0)
    session = connect(server)
    thread = prepare_slowly(session)
    server[0].wait_log(f"preparing {SLOW_COUNT}")
    for _ in range(1 + twice):
        server[0].popen.send_signal(signal.SIGTERM)
        server[0].wait_log("stopping: 1 sessions")
    assert server[0].popen.wait(10) == 0
    server[0].wait_log("stopped: 1 sessions were cut off")
    thread.join(20)
