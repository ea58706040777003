"""Servers of one test in its own process."""

from contextlib import ExitStack

import pytest
from streams import served


@pytest.fixture
def serve():
    """Starts servers; stops them after the test."""
    with ExitStack() as stack:
        yield lambda *streams_and_calls, **options: stack.enter_context(served(*streams_and_calls, **options))
