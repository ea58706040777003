"""Processes that tests of programs share: dealers, which keep nothing of a session, and a server of a model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import ALL_BACKENDS, pi_server, started

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


@pytest.fixture(scope="module")
def addresses(folder: Path, tls_dealer: str, link_keys: Path) -> Iterator[Any]:
    """Variables for clients of a server with every backend, of the model in the module's own fixture ``folder``."""
    options = ("--keys", f"{link_keys}/server", "--reveal", "logits", *ALL_BACKENDS, "--dealer", tls_dealer)
    with pi_server(folder / "model", folder / "server-store", *options) as (_, server):
        yield {"PI_SERVER": server, "PI_DEALER": tls_dealer, "PI_KEYS": f"{link_keys}/client"}
