"""Streams that say nothing: one certificate's leave room for others."""

from contextlib import ExitStack

import pytest

from pi_server.hellos import HELLOS, HELLOS_EACH, Hellos
from pi_system.errors import BusyError


def test_one_certificate_has_part_of_the_streams_that_may_wait_for_a_hello() -> None:
    assert HELLOS_EACH < HELLOS
    hellos = Hellos()
    with ExitStack() as stack:
        for _ in range(HELLOS_EACH):
            stack.enter_context(hellos.counted("mallory"))
        with pytest.raises(BusyError, match="client mallory has 32 connections") as caught, hellos.counted("mallory"):
            pass
        assert caught.value.retry_s > 0
        with hellos.counted("alice"), hellos.counted(""):
            pass
    with hellos.counted("mallory"):
        pass
