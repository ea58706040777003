"""A private authority and one certificate a role, for the links' TLS; see tls.py for what they mean.

    <folder>/<role>/key.pem           that party's private key
                    certificate.pem   its certificate
                    authority.pem     the authority's certificate, equal for all

A role's folder is what its organisation gets, and all that it needs. The authority's own key signs the three
certificates and is thrown away: nobody can issue a fourth one later, and there is nothing more to guard.
Keys are ECDSA on P-256.
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
from pi_system.rpc.tls import AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE, ROLES, Role, role_name

VALID_DAYS: Final = 825
_CLOCK_SKEW: Final = timedelta(days=1)
_USAGES: Final = {
    # A server dials the dealer, too; both ask themselves in health checks.
    "server": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    "dealer": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    "client": [ExtendedKeyUsageOID.CLIENT_AUTH],
}


def write_keys(folder: Path, valid_days: int = VALID_DAYS) -> None:
    """Make the keys of all three roles; folders of mode 0700, files of mode 0600.

    Raises:
        ConfigError: there are keys already; nothing is written then.
        InputError: the folder cannot be written.
    """
    files = _files(valid_days)
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
        files[f"{role}/{KEY_FILE}"] = own.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        files[f"{role}/{CERTIFICATE_FILE}"] = _pem(_certificate(role, own.public_key(), name, key, valid_days))
        files[f"{role}/{AUTHORITY_FILE}"] = _pem(authority)
    return files


def _certificate(
    role: Role, public: ec.EllipticCurvePublicKey, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, valid_days: int
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, role_name(role))])
    usage = x509.KeyUsage(**(dict.fromkeys(_KEY_USAGES, False) | {"digital_signature": True}))
    return (
        _builder(subject, issuer, public, valid_days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(_USAGES[role]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(role_name(role))]), critical=False)
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
