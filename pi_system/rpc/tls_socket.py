"""Mutual TLS 1.3 of a plain socket, with the keys and names of gRPC's links, by the standard library."""

import hashlib
import os
import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import Final, TypeVar

from pi_system.rpc.tls import Identity, Role, role_name

T = TypeVar("T")

CAN_LOAD: Final = hasattr(os, "memfd_create")
"""Keys can be given to the standard library, which reads files alone, without a file on a disk."""


class _Closing(ssl.SSLSocket):
    """Closed when it is forgotten: the standard library forgets one whose peer went away before the handshake."""

    def __del__(self) -> None:
        self.close()


def dialling(identity: Identity) -> ssl.SSLContext:
    """Of the end that connects. Raises OSError."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, identity)


def listening(identity: Identity) -> ssl.SSLContext:
    """Of the end that is dialled, which asks for a certificate of the authority. Raises OSError."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0  # nobody resumes
    return context


def _context(protocol: int, identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.sslsocket_class = _Closing
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=identity.authority.decode("ascii"))
    file = os.memfd_create("keys", os.MFD_CLOEXEC)
    try:
        with open(file, "wb", closefd=False) as memory:
            memory.write(identity.key + b"\n" + identity.certificate)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
    return context


def secured(end: socket.socket, context: ssl.SSLContext, until_s: float, role: Role | None = None) -> ssl.SSLSocket:
    """``end``, which does not block, after the handshake; ``role``: of the end that is dialled, None: this is it.

    Raises OSError: a bad certificate, none, or no handshake until ``until_s`` (CLOCK_MONOTONIC).
    """
    name = role_name(role) if role else None
    shake = context.wrap_socket(
        end, server_side=role is None, do_handshake_on_connect=False, suppress_ragged_eofs=False, server_hostname=name
    )
    try:
        patiently(shake, shake.do_handshake, until_s)
    except BaseException:
        shake.close()
        raise
    return shake


def fingerprint(end: socket.socket) -> str:
    """SHA-256 of the peer's certificate, hexadecimal; empty without TLS."""
    if not isinstance(end, ssl.SSLSocket):
        return ""
    return hashlib.sha256(end.getpeercert(binary_form=True) or b"").hexdigest()


def patiently(end: socket.socket, step: Callable[[], T], until_s: float, mask: int = select.POLLIN) -> T:
    """What ``step`` returns of a socket that does not block, once it goes through.

    ``mask``: what a socket without TLS waits for. Raises TimeoutError, or another OSError of ``step``.
    """
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            wanted = select.POLLIN
        except ssl.SSLWantWriteError:
            wanted = select.POLLOUT
        except BlockingIOError:
            wanted = mask
        poll = select.poll()
        poll.register(end, wanted)
        if not poll.poll(max(0.0, 1000 * (until_s - time.monotonic()))):
            raise TimeoutError("expected the other end in time, found it silent")
