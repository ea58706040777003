"""What a call's end says to the user."""

from unittest.mock import create_autospec

import grpc
import pytest

from pi_system.errors import PeerUnavailableError
from pi_system.rpc.status import rpc_error_to_error

GOAWAY = "Stream removed (GOAWAY received; Error code: 0; Debug Text: Server shutdown)"


@pytest.mark.parametrize(("details", "said"), [(GOAWAY, "server a:1: shuts down"), ("gone", "server a:1: gone")])
def test_a_server_that_shuts_down_is_told_from_one_that_is_gone(details: str, said: str) -> None:
    call = create_autospec(grpc.Call, instance=True)
    call.code.return_value, call.details.return_value = grpc.StatusCode.UNAVAILABLE, details
    call.trailing_metadata.return_value = ()
    error = rpc_error_to_error(call, "server a:1")
    assert isinstance(error, PeerUnavailableError)
    assert str(error) == said
