"""Who a process is on a link: mutual TLS 1.3 under one private authority, or plaintext that stays on this machine.

A certificate is bound to a role by a DNS name, ``pi-server``, ``pi-client`` or ``pi-dealer``: whoever dials asks for
the name of the role it wants, whoever is dialled reads the role from the caller's certificate. Host names play no
part, so a party may move. Older TLS is refused in the handshake, see ``TLS_13_ONLY`` in this package; a process
in which that does not hold opens no link.
"""

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

import grpc

from pi_system.errors import ConfigError
from pi_system.rpc import GRPC_CAME_FIRST
from pi_system.rpc.tls_probe import check_tls_13_only

Role = Literal["server", "client", "dealer"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
AUTHORITY_FILE: Final = "authority.pem"
CERTIFICATE_FILE: Final = "certificate.pem"
KEY_FILE: Final = "key.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A process's private key, its certificate, and the authority that both ends trust; all PEM."""

    key: bytes = field(repr=False)
    certificate: bytes
    authority: bytes

    @classmethod
    def load(cls, folder: Path) -> "Identity":
        """Read the three files of ``folder``. Raises ConfigError if one is missing, damaged or of another key."""
        paths = [folder / name for name in (KEY_FILE, CERTIFICATE_FILE, AUTHORITY_FILE)]
        try:
            check = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            check.load_cert_chain(paths[1], paths[0])
            check.load_verify_locations(paths[2])
            key, certificate, authority = (path.read_bytes() for path in paths)
        except OSError as error:  # ssl.SSLError is one, too
            raise ConfigError(
                f"keys: expected {', '.join(path.name for path in paths)} of one party in {folder}, "
                f"found: {error.strerror or error}"
            ) from None
        return cls(key=key, certificate=certificate, authority=authority)

    def to_dial(self) -> grpc.ChannelCredentials:
        """Credentials of the end that connects. Raises ConfigError if gRPC would take older TLS."""
        self._check()
        return grpc.ssl_channel_credentials(self.authority, self.key, self.certificate)

    def to_listen(self) -> grpc.ServerCredentials:
        """Credentials of the end that listens; callers need a certificate of the authority. Errors as ``to_dial``."""
        self._check()
        pair = (self.key, self.certificate)
        return grpc.ssl_server_credentials([pair], root_certificates=self.authority, require_client_auth=True)

    def _check(self) -> None:
        if GRPC_CAME_FIRST:
            check_tls_13_only(self.key, self.certificate)


def role_name(role: Role) -> str:
    """The DNS name in the certificates of ``role``."""
    return f"pi-{role}"


def caller_role(authenticated: Mapping[str, list[bytes]]) -> Role:
    """The role of a caller, from a gRPC call's authentication context. Raises ConfigError if it has none of ours."""
    names = authenticated.get("x509_subject_alternative_name", [])
    for role in ROLES:
        if role_name(role).encode() in names:
            return role
    raise ConfigError("certificate: expected the name of a role such as pi-client, found none")


def check_plaintext(address: str) -> None:
    """Refuse to leave this machine without TLS: ``address`` is HOST:PORT. Raises ConfigError."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local:
        raise ConfigError(f"plaintext: expected a loopback address such as 127.0.0.1, found {host}: use --keys")
