"""Servers of one test in its own process."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from streams import served


@pytest.fixture
def serve() -> Iterator[Any]:
    """Starts servers; stops them after the test."""
    with ExitStack() as stack:
        yield lambda *streams_and_calls, **options: stack.enter_context(served(*streams_and_calls, **options))
