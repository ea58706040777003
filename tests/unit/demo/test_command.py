"""``pi-client demo`` before there is a page: one line says why there is none."""

import socket

import pytest
from click.testing import CliRunner

import pi_client.cli
from pi_system import extras


def test_without_its_extra_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "uvicorn" else object())
    done = CliRunner().invoke(pi_client.cli.main, ["demo", "--no-browser"])
    assert done.exit_code == 10
    assert done.stderr.strip() == (
        'error: pi-client demo: expected uvicorn installed, found none; type: pip install "pi-system[web]"'
    )


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = CliRunner().invoke(pi_client.cli.main, ["demo", "--no-browser", "--port", str(port)])
    assert done.exit_code == 10
    assert done.stderr.strip() == f"error: port {port}: cannot be listened on: Address already in use"
