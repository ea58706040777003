"""``--threads``: what a program, and the processes of its sessions, compute with."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pi_client.cli import main as client_main
from pi_server import cli, worker
from pi_server.cli import main as server_main
from pi_system.cli.dealer import main as dealer_main
from pi_system.kernels.cores import threads, use_threads


class _ReachedError(Exception):
    """The program is where it would begin to serve, or to ask."""


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    use_threads(None)


def run(main: Any, *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_session_of_a_server_computes_with_what_was_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    started: list[Any] = []
    monkeypatch.setattr(cli, "_run", lambda options, *rest: started.append(options))
    serve = ("serve", "--artifact", "builtin:cifar10", "--insecure", "--store", str(tmp_path))
    assert run(server_main, *serve, "--threads", "3").exit_code == 0
    assert run(server_main, *serve).exit_code == 0
    assert [options.threads for options in started] == [3, None]

    def reached(*_: Any) -> None:
        raise _ReachedError

    monkeypatch.setattr(worker, "Clients", reached)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(worker, "start_log", lambda _: None)
    default = threads()
    for options, found in zip(started, (3, default), strict=True):
        with pytest.raises(_ReachedError):
            worker.run_worker(options, "127.0.0.1:0", None)  # type: ignore[arg-type]
        assert threads() == found


@pytest.mark.parametrize(
    ("main", "command"),
    [
        (client_main, ("prepare", "--insecure", "--server", "127.0.0.1:1", "--connect-timeout", "1", "--count", "1")),
        (dealer_main, ("serve", "--insecure", "--listen", "nowhere")),
    ],
)
def test_a_program_computes_with_what_was_said(main: Any, command: tuple[str, ...], tmp_path: Any) -> None:
    store = ("--store", str(tmp_path)) if main is client_main else ()
    assert run(main, *command, *store, "--threads", "5").exit_code not in (0, 2)  # it got as far as the address
    assert threads() == 5


@pytest.mark.parametrize("count", ["0", "-1", "1025", "many"])
def test_a_number_that_is_none_is_refused(count: str) -> None:
    before = threads()
    for main, command in ((server_main, "serve"), (client_main, "infer"), (dealer_main, "serve")):
        result = run(main, command, "--threads", count)
        assert result.exit_code == 2
        assert "--threads" in result.output
    assert threads() == before
