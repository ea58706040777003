"""Who a process is on a link: mutual TLS 1.3 under one private authority, or plaintext that stays on this machine.

A certificate is bound to a role by a DNS name, ``pi-server``, ``pi-client`` or ``pi-dealer``: whoever dials asks for
the name of the role it wants, whoever is dialled reads the role from the caller's certificate. Host names play no
part, so a party may move. A client's certificate may have a second name, ``NAME.pi-client``, that tells it from
others. Older TLS is refused in the handshake, see ``TLS_13_ONLY`` in this package; a process in which that does not
hold opens no link.
"""

import hashlib
import ipaddress
import re
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
_CLIENT: Final = re.compile(r"([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.pi-client")


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
            inside = [role for role in ROLES if (folder / role / KEY_FILE).is_file()]
            hint = f"; take one of its folders {', '.join(inside)}" if inside else ""
            raise ConfigError(
                f"keys: expected {', '.join(path.name for path in paths)} of one party in {folder}, "
                f"found: {error.strerror or error}{hint}"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who dialled, by its certificate.

    Attributes:
        role: of its organisation.
        name: of this client; empty: it has the certificate that several share.
        fingerprint: SHA-256 of the certificate, hexadecimal.
    """

    role: Role
    name: str = ""
    fingerprint: str = ""


def caller_of(authenticated: Mapping[str, list[bytes]]) -> Caller:
    """A caller, from a gRPC call's authentication context. Raises ConfigError if it has no role of ours."""
    names = [name.decode("ascii", "replace") for name in authenticated.get("x509_subject_alternative_name", [])]
    for role in ROLES:
        if role_name(role) in names:
            own = next((found[1] for found in map(_CLIENT.fullmatch, names) if found), "") if role == "client" else ""
            pem = authenticated.get("x509_pem_cert", [b""])[0]
            return Caller(role=role, name=own, fingerprint=fingerprint_of(pem) if pem else "")
    raise ConfigError("certificate: expected the name of a role such as pi-client, found none")


def client_name(name: str) -> str:
    """The DNS name in the certificate of the client ``name``. Raises ConfigError if that is no name."""
    found = f"{name}.{role_name('client')}"
    if not _CLIENT.fullmatch(found):
        raise ConfigError(f"client: expected a name of up to 63 of a-z, 0-9 and -, found {name[:80]!r}")
    return found


def fingerprint_of(certificate: bytes) -> str:
    """SHA-256 of a certificate in PEM, hexadecimal. Raises ConfigError if it is none."""
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode("ascii"))).hexdigest()
    except ValueError as error:
        raise ConfigError(f"certificate: expected PEM, found something else: {error}") from None


def host_of(address: str) -> str:
    """The host of HOST:PORT; an IPv6 address without its brackets."""
    return address.rpartition(":")[0].strip("[]")


def check_plaintext(address: str) -> None:
    """Refuse to leave this machine without TLS: ``address`` is HOST:PORT. Raises ConfigError."""
    host = host_of(address)
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local:
        raise ConfigError(f"plaintext: expected a loopback address such as 127.0.0.1, found {host}: use --keys")
