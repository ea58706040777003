"""A private authority and its certificates, for the links' TLS; see tls.py for what they mean.

    <folder>/<role>/key.pem           that party's private key
                    certificate.pem   its certificate
                    authority.pem     the authority's certificate, equal for all
    <folder>/authority/key.pem        what issues certificates of further clients

A role's folder is what its organisation gets, and all that it needs. Whoever has the authority's key can pose as any
party: it belongs on none of their machines, and may be deleted where no further client will come. Keys are ECDSA on
P-256.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pi_system.durable import create_file
from pi_system.errors import ConfigError, InputError
from pi_system.rpc.tls import AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE, ROLES, Role, client_name, role_name

VALID_DAYS: Final = 825
AUTHORITY: Final = "authority"
"""Folder of the key that issues."""
_CLOCK_SKEW: Final = timedelta(days=1)
_USAGES: Final = {
    # A server dials the dealer, too; both ask themselves in health checks.
    "server": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    "dealer": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    "client": [ExtendedKeyUsageOID.CLIENT_AUTH],
}


def write_keys(folder: Path, valid_days: int = VALID_DAYS) -> None:
    """Make the keys of all three roles and of the authority; folders of mode 0700, files of mode 0600.

    Raises:
        ConfigError: there are keys already; nothing is written then.
        InputError: the folder cannot be written.
    """
    _write(folder, _files(valid_days))


def issue_client(authority: Path, name: str, folder: Path, valid_days: int = VALID_DAYS) -> bytes:
    """Make the keys of the client ``name`` in ``folder``, by the key in the folder ``authority``.

    Returns:
        The certificate, PEM.

    Raises:
        ConfigError: there is no such key, or there are keys already; nothing is written then.
        InputError: the folder cannot be written.
    """
    try:
        key = serialization.load_pem_private_key((authority / KEY_FILE).read_bytes(), None)
        issuer_pem = (authority / CERTIFICATE_FILE).read_bytes()
        issuer = x509.load_pem_x509_certificate(issuer_pem)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"authority: expected its key and certificate in {authority}, found: {reason}") from None
    if (
        not isinstance(key, ec.EllipticCurvePrivateKey)
        or issuer.public_key() != key.public_key()
        or not _issues(issuer)
    ):
        raise ConfigError(f"authority: expected its key and certificate in {authority}, found another party's")
    own = ec.generate_private_key(ec.SECP256R1())
    names = (client_name(name), role_name("client"))
    certificate = _pem(_certificate("client", names, own.public_key(), issuer.subject, key, valid_days))
    _write(folder, {KEY_FILE: _secret(own), CERTIFICATE_FILE: certificate, AUTHORITY_FILE: issuer_pem})
    return certificate


def _issues(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _write(folder: Path, files: dict[str, bytes]) -> None:
    found = [name for name in files if (folder / name).exists()]
    if found:
        raise ConfigError(f"keys: expected a folder without keys, found {folder / found[0]}")
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            create_file(path, content)
    except OSError as error:
        raise InputError(f"keys: {folder} cannot be written: {error.strerror}") from None


def _files(valid_days: int) -> dict[str, bytes]:
    """File contents by path under the folder."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pi-system authority")])
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(**(dict.fromkeys(_KEY_USAGES, False) | {"key_cert_sign": True, "crl_sign": True}))
    authority = (
        _builder(name, name, key.public_key(), valid_days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    files = {}
    for role in ROLES:
        own = ec.generate_private_key(ec.SECP256R1())
        own_certificate = _certificate(role, (role_name(role),), own.public_key(), name, key, valid_days)
        files[f"{role}/{KEY_FILE}"] = _secret(own)
        files[f"{role}/{CERTIFICATE_FILE}"] = _pem(own_certificate)
        files[f"{role}/{AUTHORITY_FILE}"] = _pem(authority)
    return files | {f"{AUTHORITY}/{KEY_FILE}": _secret(key), f"{AUTHORITY}/{CERTIFICATE_FILE}": _pem(authority)}


def _secret(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate(
    role: Role,
    names: tuple[str, ...],
    public: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    valid_days: int,
) -> x509.Certificate:
    """Of a party of ``role``, with these DNS names, the first of which is its subject."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    usage = x509.KeyUsage(**(dict.fromkeys(_KEY_USAGES, False) | {"digital_signature": True}))
    return (
        _builder(subject, issuer, public, valid_days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(_USAGES[role]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )


_KEY_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, valid_days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=valid_days))
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
