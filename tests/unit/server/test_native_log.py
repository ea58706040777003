"""gRPC's lines on stderr become ours, and nobody else's line is lost."""

import os
import sys

import pytest

from pi_server.native_log import Refusals, native_log

HANDSHAKE = (
    "I1129 14:23:37.407848    5459 ssl_transport_security.cc:2563] Handshake failed with error SSL_ERROR_SSL: "
    "error:100000c0:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE: Invalid context\n"
)
NEWS = "E1129 14:23:46.476941    6712 tcp_server.cc:102] a socket that we closed\n"


def test_refused_handshakes_are_logged_and_other_lines_pass(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with native_log():
        os.write(2, (HANDSHAKE + NEWS + "Fatal Python error: one of C\n").encode())
        sys.stderr.write("a line of Python\n")
        assert os.environ["GRPC_VERBOSITY"] == "INFO"
        os.write(2, b"half a line")
    assert os.environ["GRPC_VERBOSITY"] == "NONE"
    os.write(2, b"; afterwards\n")
    found = sorted(capfd.readouterr().err.splitlines())
    assert found == ["Fatal Python error: one of C", "a line of Python", "half a line; afterwards"]
    assert caplog.messages == ["TLS: 1 connections refused in the handshake: PEER_DID_NOT_RETURN_A_CERTIFICATE"]


def test_who_asks_for_grpcs_log_gets_it(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GRPC_VERBOSITY", "ERROR")
    with native_log():
        os.write(2, NEWS.encode())
    assert capfd.readouterr().err == NEWS


def test_a_flood_of_one_kind_is_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now, refusals = [0.0], Refusals()
    monkeypatch.setattr("pi_server.native_log.time.monotonic", lambda: now[0])
    for _ in range(1000):
        refusals.note("NO_SHARED_CIPHER")
    refusals.note("BAD_SIGNATURE")
    now[0] = 11.0
    refusals.note("NO_SHARED_CIPHER")
    counts = [message.split()[1:2] + message.split()[-1:] for message in caplog.messages]
    assert counts == [["1", "NO_SHARED_CIPHER"], ["1", "BAD_SIGNATURE"], ["1000", "NO_SHARED_CIPHER"]]
