"""What installing the package puts beside other packages."""

import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BUILD = """
import sys
from scikit_build_core.build import build_wheel
print(build_wheel(sys.argv[1], {"wheel.cmake": "false", "build-dir": sys.argv[1] + "/build", "logging.level": "ERROR"}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names in the wheel. Nothing is compiled: what the compiler makes goes to pi_system/kernels."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-c", BUILD, folder], cwd=ROOT, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_every_top_level_name_is_ours(wheel):
    tops = {name.partition("/")[0] for name in wheel}
    (information,) = {top for top in tops if top.endswith(".dist-info")}
    assert tops - {information} == {"pi_system", "pi_server", "pi_client"}


def test_programs_start_modules_of_the_wheel(wheel):
    programs = {one.name: one.value for one in entry_points(group="console_scripts") if one.name.startswith("pi-")}
    assert set(programs) == {"pi-server", "pi-client", "pi-dealer", "pi-train"}
    for value in programs.values():
        module, _, function = value.partition(":")
        assert function == "main"
        assert module.replace(".", "/") + ".py" in wheel


def test_nothing_but_the_product_is_in_the_wheel(wheel):
    assert not [name for name in wheel if name.endswith((".cpp", ".h")) or "/tests/" in name]
