"""What a plain install lacks: the table of extras is pyproject.toml's, and who needs one reads what to type."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import click
import pytest
from absent import EXTRAS_ONLY, SERVERS_ONLY, without
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image
from processes import ENVIRONMENT, ROOT

import pi_client.cli
import pi_server.cli
from pi_system.errors import MissingExtraError
from pi_system.extras import EXTRAS, check_installed, command, needs

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = {name: [Requirement(text) for text in texts] for name, texts in PROJECT["optional-dependencies"].items()}
OWN = canonicalize_name(PROJECT["name"])
BESIDE = {"crypten": {"crypten"}}  # installed without what it asks for


OWNERS = packages_distributions()


def distributions(modules: Any) -> set[str]:
    return {canonicalize_name(owner) for name in modules for owner in OWNERS.get(name, [name])}


@pytest.mark.parametrize("name", sorted(set(DECLARED) - {"all"}))
def test_the_modules_of_an_extra_are_those_that_it_installs(name: str) -> None:
    named = {canonicalize_name(one.name) for one in DECLARED[name]} - {OWN}
    assert distributions(EXTRAS[name]) == named | BESIDE.get(name, set())


def test_all_is_all() -> None:
    (everything,) = DECLARED["all"]
    assert canonicalize_name(everything.name) == OWN
    assert everything.extras == set(DECLARED) - {"all"} == set(EXTRAS)


def test_a_plain_install_has_nothing_of_an_extra() -> None:
    plain = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert not plain & distributions((*EXTRAS_ONLY, *SERVERS_ONLY))
    assert {name for names in EXTRAS.values() for name in names} <= {*EXTRAS_ONLY, *SERVERS_ONLY}


def test_crypten_is_one_version_everywhere() -> None:
    files = ("Makefile", "pi_system/extras.py")
    found = {version for name in files for version in re.findall(r"crypten==([\d.]+)", (ROOT / name).read_text())}
    assert found == {"0.4.1"}


def run_without(tmp_path: Path, *names: str, code: str, words: tuple[str, ...] = ()) -> Any:
    """A process of its own, in which ``names`` cannot be imported."""
    variables = ENVIRONMENT | without(tmp_path / "site", *names)
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("program", "lacking", "extra"),
    [("train", "torch", "train"), ("server", "grpc_health", "server"), ("dealer", "prometheus_client", "server")],
)
def test_a_program_without_its_extra_says_what_to_type(tmp_path: Path, program: str, lacking: str, extra: str) -> None:
    done = run_without(tmp_path, lacking, code=f"from pi_system.cli.start import {program}; {program}()")
    line = f'error: pi-{program}: expected {lacking} installed, found none; type: pip install "pi-system[{extra}]"\n'
    assert (done.returncode, done.stdout, done.stderr) == (10, "", line)


@pytest.mark.parametrize("program", ["train", "client", "server", "dealer"])
def test_a_program_stopped_while_it_is_read_says_so_in_a_line(tmp_path: Path, program: str) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("raise KeyboardInterrupt")
    code = f"import sys; sys.path.insert(0, '.'); from pi_system.cli.start import {program}; {program}()"
    done = run_without(tmp_path, code=code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: stopped\n")


def test_the_python_api_names_the_extra_too(tmp_path: Path) -> None:
    code = (
        "import pi_system as pi\n"
        "server = pi.Server('builtin:cifar10', insecure=True)\n"
        "for use in (lambda: pi.compile, lambda: pi.load, server.start):\n"
        "    try: use()\n"
        "    except pi.PiError as error: print(error.exit_code, error)\n"
    )
    lines = run_without(tmp_path, *EXTRAS_ONLY, *SERVERS_ONLY, code=code).stdout.splitlines()
    expected = ["pi_system.compile", "pi_system.load", "pi-server"]
    assert [line.partition(": expected")[0] for line in lines] == [f"10 {what}" for what in expected]
    assert [line.partition("type: ")[2] for line in lines] == [command("train"), command("train"), command("server")]


def test_what_no_extra_installs_stays_what_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere"), needs("train", "pi-train"):
        import nowhere  # type: ignore[import-not-found]  # noqa: F401


def test_what_is_installed_and_broken_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").write_text("import ray._raylet")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'ray\._raylet'"), needs("ray", "delphi"):
        import ray  # noqa: F401


def options_of(folder: Path) -> dict[Any, list[str]]:
    Image.new("L", (2, 2)).save(folder / "x.png")
    return {
        pi_client.cli.main: ["infer", str(folder / "x.png"), "--insecure", "--store", str(folder)],
        pi_server.cli.main: ["serve", "--artifact", "builtin:cifar10", "--insecure", "--store", str(folder)],
    }


@pytest.mark.parametrize("program", [pi_client.cli.main, pi_server.cli.main])
def test_the_baseline_is_offered_only_where_it_can_run(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = options_of(tmp_path)[program]

    def offered() -> str:
        (option,) = [o for o in program.commands[words[0]].params if o.name in ("backend", "allowed")]
        return str(option.make_metavar(click.Context(program)))

    assert "crypten" in offered()
    monkeypatch.setitem(sys.modules, "crypten", None)
    assert "fss" in offered()
    assert "crypten" not in offered()
    result = CliRunner().invoke(program, [*words, "--backend", "crypten"])
    typed = 'pip install "pi-system[crypten]" && pip install --no-deps crypten==0.4.1'
    assert (result.exit_code, result.stderr.count("\n")) == (10, 1)
    assert result.stderr.endswith(f"expected crypten installed, found none; type: {typed}\n")


def test_installed_is_looked_for_without_importing(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys; from pi_system.extras import *; check_installed('x', 'train', 'server')\n"
    code += "sys.exit(any(name in sys.modules for names in EXTRAS.values() for name in names))"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=False).returncode == 0
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match="digits: expected"):
        check_installed("digits", "train")


def test_documents_install_from_what_a_reader_has() -> None:
    """No index has the package; only the package itself, where it is installed, names extras by its own name."""
    documents = [ROOT / "Makefile", ROOT / "Dockerfile", *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    history = ("decisions.md", "CHANGELOG.md")
    text = "\n".join(path.read_text() for path in documents if path.name not in history)
    assert not re.findall(r"pip install (?:-\S+ )*\S?pi[-_]system\b", text)
    named = {name for names in re.findall(r"""(?:\.|\.whl\)?)\[([a-z,]+)\]""", text) for name in names.split(",")}
    assert {"server", "train"} <= named <= set(DECLARED)
