"""Makes tests/support and benchmarks importable by every test: ``from random_networks import random_network``."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from pi_system.cli.logs import session_log
from pi_system.rpc.keys import write_keys

sys.path[:0] = [str(Path(__file__).parent / "support"), str(Path(__file__).parents[1] / "benchmarks")]

pytest_plugins = ["toy_sessions"]

# No example has a deadline: a loaded machine is no fault of the code. CI draws the same examples in every run.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# The networks of the tests are tiny: handing them to a second thread costs more than it brings.
torch.set_num_threads(1)

# Shells start background jobs deaf to SIGINT, and so would be the processes that tests stop with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


LEVEL = logging.getLogger().level


@pytest.fixture(autouse=True)
def log_as_at_first() -> Iterator[None]:
    """What a test's log holds is not to depend on those before it, nor on what its module made before it.

    Commands start logs here, and two threads that start CrypTen's parties at once leave the root's level at INFO:
    each sets it for a moment, and puts back what it found.
    """
    root = logging.getLogger()
    handlers = root.handlers[:]
    root.setLevel(LEVEL)
    yield
    root.handlers[:] = handlers
    root.setLevel(LEVEL)
    session_log("", "")


@pytest.fixture(scope="session")
def link_keys(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folder of TLS keys of the three roles."""
    folder = tmp_path_factory.mktemp("keys")
    write_keys(folder)
    return folder
