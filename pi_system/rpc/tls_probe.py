"""Whether gRPC, in this process, refuses TLS 1.2: asked of gRPC itself, by two handshakes on the loopback interface.

Needed only where gRPC was imported before this package and may have settled on its cipher suites, which hold for the
whole process and for both ends of a link.
"""

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final

import grpc

from pi_system.errors import ConfigError

_TIMEOUT_S: Final = 5.0


@cache
def check_tls_13_only(key: bytes, certificate: bytes) -> None:
    """Raise ConfigError unless gRPC agrees on TLS 1.3 and refuses TLS 1.2, with this key and certificate (PEM)."""
    server = grpc.server(ThreadPoolExecutor(1))
    try:
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
        server.start()
        agreed = {version for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3) if _agree(port, version)}
    finally:
        server.stop(None)
    if agreed != {ssl.TLSVersion.TLSv1_3}:
        found = ", ".join(sorted(version.name for version in agreed)) or "none"
        raise ConfigError(
            f"TLS: expected a gRPC that takes TLS 1.3 only, found one that takes {found}: it was used in this process "
            "before pi_system was imported; import pi_system.rpc first"
        )


def _agree(port: int, version: ssl.TLSVersion) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is ourselves we talk to
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost"),
        ):
            return True
    except (ssl.SSLError, ConnectionError):
        return False
