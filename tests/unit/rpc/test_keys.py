"""The keys that ``pi-server keys`` makes, and what reads them."""

import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from pi_system.errors import ConfigError, InputError
from pi_system.rpc.keys import VALID_DAYS, write_keys
from pi_system.rpc.tls import ROLES, Identity

FILES = {"key.pem", "certificate.pem", "authority.pem"}


def certificate(folder: Path, name: str = "certificate.pem") -> Any:
    return x509.load_pem_x509_certificate((folder / name).read_bytes())


def extension(found: Any, kind: Any) -> Any:
    return found.extensions.get_extension_for_class(kind).value


def test_each_role_has_its_three_files_and_no_party_the_authoritys_key(link_keys: Any) -> None:
    assert {path.name for path in link_keys.iterdir()} == {*ROLES, "authority"}
    assert {path.name for path in (link_keys / "authority").iterdir()} == {"key.pem", "certificate.pem"}
    for role in ROLES:
        assert {path.name for path in (link_keys / role).iterdir()} == FILES
    assert len({(link_keys / role / "key.pem").read_bytes() for role in (*ROLES, "authority")}) == 4
    assert len({(link_keys / role / "authority.pem").read_bytes() for role in ROLES}) == 1


def test_only_the_owner_can_read_them(link_keys: Path) -> None:
    for path in link_keys.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


@pytest.mark.parametrize("role", ROLES)
def test_certificates_are_bound_to_their_role(link_keys: Path, role: str) -> None:
    own, authority = certificate(link_keys / role), certificate(link_keys / role, "authority.pem")
    own.verify_directly_issued_by(authority)
    assert extension(own, x509.SubjectAlternativeName).get_values_for_type(x509.DNSName) == [f"pi-{role}"]
    assert isinstance(own.public_key(), ec.EllipticCurvePublicKey)
    assert own.public_key().curve.name == "secp256r1"
    assert not extension(own, x509.BasicConstraints).ca
    assert extension(authority, x509.BasicConstraints).path_length == 0
    assert (ExtendedKeyUsageOID.SERVER_AUTH in extension(own, x509.ExtendedKeyUsage)) == (role != "client")
    assert (own.not_valid_after_utc - own.not_valid_before_utc).days == VALID_DAYS + 1


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "client").mkdir()  # an empty folder, such as a mounted volume, is fine
    write_keys(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.pem")}
    (tmp_path / "dealer" / "key.pem").unlink()
    with pytest.raises(ConfigError, match=r"found .*server/key\.pem"):
        write_keys(tmp_path)
    assert {path: before[path] for path in tmp_path.rglob("*.pem")} == {
        path: path.read_bytes() for path in tmp_path.rglob("*.pem")
    }
    assert not (tmp_path / "dealer" / "key.pem").exists()


def test_folder_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_keys(tmp_path / "file")


def copy(source: Any, target: Any) -> Any:
    target.mkdir()
    for name in FILES:
        (target / name).write_bytes((source / name).read_bytes())
    return target


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("key.pem", None),
        ("authority.pem", None),
        ("certificate.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("authority.pem", b"no certificate"),
        ("key.pem", "dealer/key.pem"),
    ],
)
def test_missing_damaged_or_foreign_files_are_refused(
    link_keys: Path, tmp_path: Path, name: str, content: bytes | str | None
) -> None:
    folder = copy(link_keys / "client", tmp_path / "client")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes((link_keys / content).read_bytes() if isinstance(content, str) else content)
    with pytest.raises(ConfigError, match=r"keys: expected key\.pem"):
        Identity.load(folder)


def test_an_identity_does_not_show_its_key(link_keys: Path) -> None:
    assert "PRIVATE" not in repr(Identity.load(link_keys / "client"))
