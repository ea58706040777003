"""Where options come from: flags, variables, a file; what docs/reference/configuration.md says of them; JSON logs."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from processes import ROOT

from pi_client.cli import main as client_main
from pi_server.cli import main as server_main
from pi_system.cli.logs import LogOptions, session_log, start_log
from pi_system.cli.program import program
from pi_system.errors import PiError


@program("pi-try")
def main() -> None:
    """A program."""


@main.command()
@click.option("--listen", default="default")
@click.option("--backend", "allowed", multiple=True)
@click.option("--fast", is_flag=True)
@click.option("--most", type=int, expose_value=False)
def serve(listen: str, allowed: tuple[str, ...], fast: bool) -> None:
    click.echo(f"{listen} {','.join(allowed)} {fast}")


@main.command()
def fail() -> None:
    error = PiError("lost")
    error.request = "ab" * 8
    raise error


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def call(text: str, *arguments: Any, code: int = 0, **environment: Any) -> Any:
        (tmp_path / "pi.toml").write_text(text)
        options = ["--config", str(tmp_path / "pi.toml"), *arguments] if text else [*arguments]
        result = CliRunner().invoke(main, options, env=environment)
        assert result.exit_code == code, result.output
        return result.output

    return call


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(run: Any) -> None:
    file = '[pi-try.serve]\nlisten = "file"\nbackend = ["a", "b"]\nfast = true\n[pi-dealer]\nnot = "ours"\n'
    assert run("", "serve") == "default  False\n"
    assert run(file, "serve") == "file a,b True\n"
    assert run(file.replace('["a", "b"]', '"a"'), "serve") == "file a True\n"
    assert run(file, "serve", PI_SERVE_LISTEN="variable") == "variable a,b True\n"
    assert run('[pi-try.serve]\nbackend = "a"\nfast = false\nmost = 3\n', "serve") == "default a False\n"
    assert run(file, "serve", "--listen", "flag", PI_SERVE_LISTEN="variable") == "flag a,b True\n"


@pytest.mark.parametrize(
    ("file", "found", "code"),
    [
        (
            '[pi-try.serve]\nlisten_on = "x"\n',
            "pi-try.serve: expected one of backend, fast, listen, most, found 'listen_on'",
            10,
        ),
        ("[pi-try.sreve]\n", "found 'sreve'", 10),
        ('[pi-try]\nserve = "x"\n', "expected a table, found str", 10),
        (
            '[serve]\nlisten = "x"\n',
            "expected tables of pi-client, pi-dealer, pi-server, pi-train, pi-try, found 'serve'",
            10,
        ),
        ("not toml", "expected TOML", 10),
        ("[pi-try.serve]\nmost = 1.5\n", "'1.5' is not a valid integer", 2),
        ("[pi-try.serve]\nmost = true\n", "'true' is not a valid integer", 2),
        ("[pi-try.serve]\nmost = [1]\n", "pi-try.serve.most: expected one value, found a list", 10),
        ("[pi-try.serve]\nlisten = {a = 1}\n", "pi-try.serve.listen: expected text, a number", 10),
    ],
)
def test_a_file_that_says_what_there_is_not_is_an_error(run: Any, file: Any, found: Any, code: int) -> None:
    assert found in run(file, "serve", code=code)


def test_a_file_that_is_missing_is_an_error(run: Any, tmp_path: Path) -> None:
    assert "No such file" in run("", "--config", str(tmp_path / "none"), "serve", code=11)


def test_an_error_names_the_request_that_it_ended(run: Any) -> None:
    assert run("", "fail", code=1) == f"error: lost (request {'ab' * 8})\n"


def test_the_page_is_what_the_declarations_say() -> None:
    assert (
        subprocess.run([sys.executable, "scripts/configuration.py", "--check"], cwd=ROOT, check=False).returncode == 0
    )


@pytest.mark.parametrize(("name", "main"), [("pi-server", server_main), ("pi-client", client_main)])
def test_a_backend_that_there_is_not_is_told_with_those_that_there_are(name: str, main: Any) -> None:
    assert "'nope' is not one of 'gmw', 'gc'" in CliRunner().invoke(main, ["store", "list", "--backend", "nope"]).output


@pytest.mark.parametrize(("name", "main"), [("pi-server", server_main), ("pi-client", client_main)])
def test_programs_take_a_file(name: str, main: Any, tmp_path: Path) -> None:
    (tmp_path / "pi.toml").write_text(f"[{name}.store.list]\nstor = 1\n")
    result = CliRunner().invoke(main, ["--config", str(tmp_path / "pi.toml"), "store", "list"])
    assert result.exit_code == 10
    assert f"{name}.store.list: expected one of backend, client, digest, store, found 'stor'" in result.output


@pytest.fixture
def plain_log() -> Any:
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level

    def start(**options: Any) -> Any:
        root.handlers[:] = []
        start_log(LogOptions(program="pi-try", **options))

    yield start
    root.handlers[:] = kept
    root.setLevel(level)
    session_log("", "")


def test_logs_are_json_objects_with_the_session_that_they_are_of(
    plain_log: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    plain_log(level="INFO", form="json")
    session_log("cd" * 8, "alice")
    logging.getLogger("x").info("said %d", 1)
    logging.getLogger("x").debug("too little")
    try:
        raise ValueError("inside")
    except ValueError:
        logging.getLogger("x").exception("failed\nover two lines")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["message"], first["request"], first["client"], first["level"]) == (
        "said 1",
        "cd" * 8,
        "alice",
        "INFO",
    )
    assert second["message"] == "failed\nover two lines"
    assert "ValueError: inside" in second["exception"]


def test_logs_for_people_name_the_session(plain_log: Any, capsys: pytest.CaptureFixture[str]) -> None:
    plain_log(level="WARNING")
    logging.getLogger("x").warning("before")
    session_log("cd" * 8, "alice")
    logging.getLogger("x").warning("within")
    before, within = capsys.readouterr().err.splitlines()
    assert before.endswith("WARNING before")
    assert within.endswith(f"WARNING [{'cd' * 8} alice] within")
