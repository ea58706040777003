"""A pytest plugin: the extension module of PI_NATIVE in the place of the installed one; see scripts/sanitize."""

import importlib.util
import os
import sys

NAME = "pi_system.kernels._native"

spec = importlib.util.spec_from_file_location(NAME, os.environ["PI_NATIVE"])
assert spec is not None
assert spec.loader is not None
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.modules[NAME] = module


def pytest_sessionfinish() -> None:
    """Say so if something else was tested after all."""
    found = importlib.import_module("pi_system.kernels.keystream")._native.__file__
    if found != os.environ["PI_NATIVE"]:
        raise RuntimeError(f"kernels: expected {os.environ['PI_NATIVE']}, found {found}")
