"""Processes that all tests of programs share: the dealers, which keep nothing of a session."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import started

_SERVE = ("-m", "pi_system.cli.dealer", "serve", "--listen", "127.0.0.1:0")


@pytest.fixture(scope="session")
def dealer() -> Iterator[Any]:
    """Address of a dealer without TLS."""
    with started(*_SERVE, "--insecure") as (_, address):
        yield address


@pytest.fixture(scope="session")
def tls_dealer(link_keys: Path) -> Iterator[Any]:
    """Address of a dealer with the keys of ``link_keys``."""
    with started(*_SERVE, "--keys", f"{link_keys}/dealer") as (_, address):
        yield address
