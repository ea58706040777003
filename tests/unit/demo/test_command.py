"""``pi-client demo`` before there is a page: one line says why there is none."""

import os
import socket
import threading
from typing import Any

import pytest
from click.testing import CliRunner

import pi_client.cli
from pi_system import extras
from pi_system.demo import serve


@pytest.mark.parametrize(
    ("lacking", "typed"),
    [(["uvicorn"], "web"), (["prometheus_client"], "server"), (["grpc_health", "starlette", "uvicorn"], "server,web")],
)
def test_without_its_extras_one_line_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, lacking: list[str], typed: str
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in lacking else object())
    done = CliRunner().invoke(pi_client.cli.main, ["demo", "--no-browser"])
    assert done.exit_code == 10
    line = f'expected {lacking[0]} installed, found none; type: pip install "pi-system[{typed}]"'
    assert done.stderr == f"error: pi-client demo: {line}\n"


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = CliRunner().invoke(pi_client.cli.main, ["demo", "--no-browser", "--port", str(port)])
    assert done.exit_code == 10
    assert done.stderr.strip() == f"error: port {port}: cannot be listened on: Address already in use"


def test_a_browser_that_stays_open_holds_nothing_up_and_options_of_other_servers_are_none_of_its() -> None:
    served, seen = threading.Event(), threading.Event()
    found: list[Any] = []

    def opened(address: str) -> None:
        found.append(served.wait(20))
        seen.set()

    def run(server: Any, sockets: Any) -> None:
        found.append([name for name in os.environ if name.startswith("PI_")])
        served.set()
        for listener in sockets:
            listener.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PI_SERVE_METRICS", "0.0.0.0:9464")
        patch.setattr("pi_system.demo.serve.signal.signal", lambda *_: None)
        patch.setattr("pi_system.demo.serve.webbrowser.open", opened)
        patch.setattr("pi_system.demo.serve.uvicorn.Server.run", run)
        patch.setattr("pi_system.demo.serve.Runs.prepare", lambda runs: None)
        serve.run_demo(0, browser=True)
        assert seen.wait(20)
    assert found == [[], True]
