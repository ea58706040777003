"""pi-server, pi-client and pi-dealer without a peer: options, errors, exit codes."""

import re
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny_artifact import tiny_artifact

import pi_client.cli
import pi_server.cli
import pi_system.cli.dealer
import pi_system.cli.train
from pi_server.options import ServerOptions
from pi_server.port import reserve_port
from pi_system.artifact import save
from pi_system.errors import ConfigError, DealerUnavailableError
from pi_system.rpc.dealer_link import DealerDialer
from pi_system.version import PROTOCOL_VERSION


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "picture.png"
    Image.new("L", (4, 4)).save(path)
    return str(path)


PROGRAMS = {
    "pi-server": pi_server.cli,
    "pi-client": pi_client.cli,
    "pi-dealer": pi_system.cli.dealer,
    "pi-train": pi_system.cli.train,
}


def run(program: Any, *arguments: Any) -> Any:
    return CliRunner().invoke(program.main, list(arguments))


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_says_its_versions(name: str) -> None:
    result = run(PROGRAMS[name], "--version")
    assert result.exit_code == 0
    assert result.stdout == f"{name} {metadata.version('pi-system')}, protocol {PROTOCOL_VERSION}\n"
    assert metadata.version("pi-system") == pi_system.__version__


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_and_command_has_the_short_option_of_help(name: str) -> None:
    for command in ([], *([one] for one in PROGRAMS[name].main.commands)):
        result = run(PROGRAMS[name], *command, "-h")
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage: ")


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_names_the_variable_of_every_option(name: str) -> None:
    shown = run(PROGRAMS[name], "-h").stdout
    assert "PI_CONFIG" in shown
    assert "PI_LOG_LEVEL" in shown
    assert not {"PI_HELP", "PI_VERSION"} & set(re.findall(r"PI_\w+", shown))
    for command, given in PROGRAMS[name].main.commands.items():
        shown = " ".join(run(PROGRAMS[name], command, "-h").stdout.replace("-\n", "-").split())
        for option in given.params:
            if isinstance(option, click.Option):
                variable = option.envvar or f"PI_{command}_{option.name}".upper().replace("-", "_")
                assert f"env var: {variable}" in shown, option.name


def test_the_variables_of_commands_of_commands_are_named() -> None:
    assert "PI_STORE_BURN_BACKEND" in run(pi_client.cli, "store", "burn", "-h").stdout


def test_a_variable_of_the_versions_there_is_not() -> None:
    assert CliRunner().invoke(pi_client.cli.main, ["ping", "-h"], env={"PI_VERSION": "1"}).stdout.startswith("Usage")


@pytest.mark.parametrize(("shell", "words"), [("bash", "plain,infer"), ("zsh", "infer"), ("fish", "plain,infer")])
def test_shells_complete_commands(shell: str, words: str) -> None:
    def complete(**environment: str) -> str:
        return CliRunner().invoke(pi_client.cli.main, [], prog_name="pi-client", env=environment).stdout

    assert "_PI_CLIENT_COMPLETE" in complete(_PI_CLIENT_COMPLETE=f"{shell}_source")
    given = {"COMP_WORDS": "pi-client inf", "COMP_CWORD": "inf" if shell == "fish" else "1"}
    assert words in complete(_PI_CLIENT_COMPLETE=f"{shell}_complete", **given)


def test_unreachable_server_is_exit_code_51_and_one_line(picture: Any, tmp_path: Path) -> None:
    options = ["--insecure", "--server", "127.0.0.1:9", "--connect-timeout", "0.2", "--store", str(tmp_path / "store")]
    result = run(pi_client.cli, "infer", picture, *options)
    assert result.exit_code == 51
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: server 127.0.0.1:9")
    assert "start one (pi-server serve), or say where it is (--server HOST:PORT)" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (pi_client.cli, ["ping", "--server", "127.0.0.1:9"]),
        (pi_client.cli, ["status", "--server", "127.0.0.1:9"]),
        (pi_server.cli, ["health", "--server", "127.0.0.1:9"]),
        (pi_system.cli.dealer, ["health", "--dealer", "127.0.0.1:9"]),
    ],
)
def test_health_checks_fail_without_a_peer(program: ModuleType, arguments: list[str]) -> None:
    result = run(program, *arguments, "--insecure", "--timeout", "0.2")
    assert (result.exit_code, result.stderr.count("\n")) == (51, 1)
    assert f"start one (pi-{arguments[1].removeprefix('--')} serve)" in result.stderr


def test_an_unreachable_dealer_is_exit_code_54_and_says_what_to_do() -> None:
    dealer = DealerDialer(
        address="127.0.0.1:9",
        pairing_id=bytes(16),
        role="client",
        backend="fss",
        count=1,
        connect_timeout_s=0.1,
        timeout_s=1.0,
    )
    with pytest.raises(
        DealerUnavailableError, match=r"start one \(pi-dealer serve\) .*or take --backend gmw"
    ) as caught:
        dealer(b"request")
    assert caught.value.exit_code == 54


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["infer"], 2),
        (["infer", "x.png", "--backend", "none"], 2),
        (["infer", "x.png", "--server", "nowhere"], 10),
        (["infer", "x.png", "--link", "lan"], 2),
        (["infer", "y.png", "--server", "127.0.0.1:9"], 11),
        (["infer", ".", "y*.png", "--server", "127.0.0.1:9"], 11),
        (["infer", "x.png", "--artifact", "no-such-folder"], 20),
        (["prepare", "--count", "0"], 2),
        (["prepare", "--count", "1", "--backend", "crypten"], 10),
    ],
)
def test_wrong_client_options(arguments: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (2, 2)).save("x.png")  # pictures are looked at first
    store = [] if arguments == ["infer"] else ["--insecure", "--store", str(tmp_path)]
    assert run(pi_client.cli, *arguments, *store).exit_code == code


def programs(picture: Any, folder: Path) -> Any:
    """Every command that connects or listens, without keys."""
    return [
        (pi_client.cli, ["ping"], "--server"),
        (pi_client.cli, ["infer", picture, "--store", str(folder / "store")], "--server"),
        (pi_client.cli, ["prepare", "--count", "1", "--store", str(folder / "store")], "--server"),
        (pi_server.cli, ["serve", "--artifact", str(folder)], "--listen"),
        (pi_server.cli, ["health"], "--server"),
        (pi_system.cli.dealer, ["serve"], "--listen"),
        (pi_system.cli.dealer, ["health"], "--dealer"),
    ]


def assert_refused(result: Any, text: Any) -> None:
    assert result.exit_code == 10
    assert result.stderr.count("\n") == 1
    assert text in result.stderr


def test_every_link_needs_keys_or_says_insecure(picture: Any, tmp_path: Path, link_keys: Path) -> None:
    for program, arguments, address in programs(picture, tmp_path):
        assert_refused(run(program, *arguments), "pi-server keys DIR")
        assert_refused(run(program, *arguments, "--insecure", "--keys", str(link_keys / "client")), "found both")
        assert_refused(run(program, *arguments, "--keys", str(tmp_path)), "keys: expected key.pem")
        assert_refused(run(program, *arguments, "--insecure", address, "0.0.0.0:7199"), "expected a loopback address")


def test_keys_command_makes_them_once(tmp_path: Path) -> None:
    result = run(pi_server.cli, "keys", str(tmp_path / "keys"))
    assert result.exit_code == 0
    assert [line.split()[-1] for line in result.stdout.splitlines()] == [
        str(tmp_path / "keys" / role) for role in ("server", "client", "dealer", "authority")
    ]
    assert_refused(run(pi_server.cli, "keys", str(tmp_path / "keys")), "expected a folder without keys")


def test_server_refuses_a_missing_artifact_and_a_bad_dealer(tmp_path: Path) -> None:
    assert run(pi_server.cli, "serve", "--insecure", "--artifact", str(tmp_path / "none")).exit_code == 20
    save(tiny_artifact(), tmp_path / "model")
    assert (
        run(pi_server.cli, "serve", "--artifact", str(tmp_path / "model"), "--insecure", "--dealer", "x").exit_code
        == 10
    )


def test_port_is_reserved_for_us_alone() -> None:
    keeper, address = reserve_port("127.0.0.1:0")
    with keeper:
        port = int(address.rpartition(":")[2])
        with pytest.raises(ConfigError, match="free address"):
            reserve_port(address)
        with socket.socket() as worker:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind(("127.0.0.1", port))
            worker.listen()
            with pytest.raises(ConfigError, match="free address"):
                reserve_port(address)
    keeper, _ = reserve_port(address)
    keeper.close()


@pytest.mark.parametrize("listen", ["256.0.0.1:0", "192.0.2.1:7100"])
def test_address_that_is_not_ours_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match="listen"):
        reserve_port(listen)


def test_client_starts_without_torch() -> None:
    code = "import sys, pi_client.cli; sys.exit('torch' in sys.modules or 'crypten' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_server_tells_the_label_by_default() -> None:
    (reveal,) = [option for option in pi_server.cli.main.commands["serve"].params if option.name == "reveal"]
    assert reveal.default == "label"
    assert ServerOptions.__dataclass_fields__["reveal"].default == "label"
