"""``pi-client gateway``: what it refuses before it listens."""

import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pi_client.cli import main
from pi_client.gateway.command import _check_listen
from pi_system.errors import ConfigError


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """The command takes signals over; its process is this one here."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def refusal(*arguments: str, code: int = 10) -> str:
    found = CliRunner().invoke(main, ["gateway", *arguments])
    assert found.exit_code == code
    assert found.stderr.count("\n") == 1
    return found.stderr


@pytest.mark.parametrize("option", ["--listen", "--grpc"])
def test_it_listens_elsewhere_only_where_that_is_called_insecure(option: str) -> None:
    said = refusal(option, "0.0.0.0:8000", "--insecure")
    assert "expected an address of this machine such as 127.0.0.1, found 0.0.0.0:8000" in said
    assert "--insecure-listen allows it" in said


def test_addresses_of_this_machine_are_allowed_and_others_by_the_flag() -> None:
    for address in ("127.0.0.1:0", "localhost:1", "[::1]:2"):
        _check_listen(address, anywhere=False)
    _check_listen("192.0.2.1:80", anywhere=True)
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        _check_listen("8000", anywhere=True)


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pi_client.gateway.serve", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert 'expected uvicorn installed, found none; type: pip install "pi-system[web]"' in refusal("--insecure")


def test_keys_or_insecure_is_asked_for_first() -> None:
    assert "expected --keys DIR" in refusal("--listen", "127.0.0.1:0", "--grpc", "127.0.0.1:0")


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    assert "keeps no material" in refusal("--backend", "crypten", "--prepare", "1", "--insecure")
    assert "expected no --insecure-provider" in refusal(
        "--insecure-provider", "--insecure", "--store", str(tmp_path), "--listen", "127.0.0.1:0"
    )


def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for option in ("--listen", "--grpc"):
            other = "--grpc" if option == "--listen" else "--listen"
            said = refusal(option, address, other, "127.0.0.1:0", "--insecure", "--store", str(tmp_path))
            assert f"expected a free address, found that {address} cannot be bound" in said
