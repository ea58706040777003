"""What is installed beside other packages, what is locked, what is generated, and what runs before a commit."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
BUILD = """
import sys
from scikit_build_core.build import build_wheel
print(build_wheel(sys.argv[1], {
    "wheel.cmake": "false", "wheel.py-api": "", "build-dir": sys.argv[1] + "/build", "logging.level": "ERROR"
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Names in the wheel. Nothing is compiled: what the compiler makes goes to pi_system/kernels."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-c", BUILD, folder], cwd=ROOT, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_every_top_level_name_is_ours(wheel: Any) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    (information,) = {top for top in tops if top.endswith(".dist-info")}
    assert tops - {information} == {"pi_system", "pi_server", "pi_client"}


def test_programs_start_modules_of_the_wheel(wheel: Any) -> None:
    programs = {one.name: one.value for one in entry_points(group="console_scripts") if one.name.startswith("pi-")}
    assert set(programs) == {"pi-server", "pi-client", "pi-dealer", "pi-train"}
    for value in programs.values():
        module, _, function = value.partition(":")
        assert callable(getattr(import_module(module), function))
        assert module.replace(".", "/") + ".py" in wheel


def test_nothing_but_the_product_is_in_the_wheel(wheel: Any) -> None:
    assert not [name for name in wheel if name.endswith((".cpp", ".h")) or "/tests/" in name]


LINES = [line for line in (ROOT / "constraints-ci.txt").read_text().splitlines() if not line.startswith("#")]
LOCK = [Requirement(line) for line in LINES]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
LOCKED_EXTRAS = [text for name in ("server", "train", "crypten", "dicom", "web") for text in EXTRAS[name]]
NAMED = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"], *LOCKED_EXTRAS]
NAMED += [text for name in ("dev", "docs", "fuzz", "wheels") for text in GROUPS[name] if isinstance(text, str)]


def applies(requirement: Any) -> Any:
    return requirement.marker is None or requirement.marker.evaluate()


def locked(name: str) -> Any:
    """The version for this Python."""
    pins = [pin for pin in LOCK if canonicalize_name(pin.name) == canonicalize_name(name) and applies(pin)]
    assert len(pins) == 1, name
    (exact,) = pins[0].specifier
    assert exact.operator == "=="
    return exact.version


@pytest.mark.parametrize("text", NAMED)
def test_what_is_named_is_locked_within_its_range(text: str) -> None:
    requirement = Requirement(text)
    if applies(requirement):
        assert locked(requirement.name) in requirement.specifier


def test_torch_is_the_tested_version() -> None:
    assert locked("torch") == "2.13.0"


def test_lock_names_no_range() -> None:
    for pin in LOCK:
        assert [one.operator for one in pin.specifier] == ["=="], pin


PRODUCT = ("pi_system", "server/pi_server", "client/pi_client")
INSTALLED_BESIDE = {"crypten"}  # without what it asks for; see the Makefile
CRYPTEN_IMPORTS = {"onnx", "omegaconf", "pyyaml"}
READ_NOT_IMPORTED = {"scikit-learn"}  # the file of its digits


def imported() -> set[str]:
    """Top-level names, but the standard library's and the product's own, that any module of the product imports."""
    found = set()
    for path in (path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {module.partition(".")[0] for module in modules}
    return found - sys.stdlib_module_names - {Path(folder).name for folder in PRODUCT}


def test_the_product_imports_what_it_declares_and_nothing_else() -> None:
    """So nothing of benchmarks, tests or scripts either, and no development tool."""
    project, owners = PROJECT["project"], packages_distributions()
    texts = [*project["dependencies"], *(text for extra in EXTRAS.values() for text in extra)]
    declared = {canonicalize_name(Requirement(text).name) for text in texts} - {project["name"]}
    allowed = declared | INSTALLED_BESIDE
    needed: set[str] = set()
    for name in imported():
        owned_by = {name} if (ROOT / name).exists() else set(map(canonicalize_name, owners.get(name, [name])))
        assert owned_by & allowed, name
        needed |= owned_by
    assert declared - needed <= CRYPTEN_IMPORTS | READ_NOT_IMPORTED


REPOS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]


def test_every_hook_runs_what_the_environment_has() -> None:
    assert [repo["repo"] for repo in REPOS] == ["local"]
    for hook in REPOS[0]["hooks"]:
        assert hook["language"] == "system"
        first, *others = hook["entry"].split()
        assert first.startswith(".venv/bin/") or (ROOT / first).is_file()
        assert all((ROOT / word).is_file() for word in others if word.startswith("scripts/"))


def test_the_type_stub_is_that_of_the_compiled_kernels() -> None:
    command = [sys.executable, "scripts/stubs.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
