"""How long a party's certificates are still valid, and whether they are yet."""

import logging
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from pi_system.errors import ConfigError
from pi_system.rpc.tls import Identity, Role, role_name

SOON_DAYS: Final = 30.0
"""From then on expiry is warned of."""
_LOG = logging.getLogger(__name__)


def days_left(identity: Identity) -> float:
    """Days until the first of the party's and the authority's certificates expires; negative once one has."""
    return min((one.not_valid_after_utc - datetime.now(UTC)).total_seconds() for one in _both(identity)) / 86400


def problem(identity: Identity) -> str:
    """Why no link can be opened now with these certificates, empty if one can."""
    now = datetime.now(UTC)
    if any(one.not_valid_after_utc <= now for one in _both(identity)):
        return "certificate: expired"
    early_s = max((one.not_valid_before_utc - now).total_seconds() for one in _both(identity))
    if early_s > 0:
        return f"certificate: not valid for another {early_s / 86400:.1f} days: expected a clock that is right"
    return ""


def warn_of_expiry(identity: Identity) -> None:
    """Log a warning, or an error, if they expire soon, have, or are not valid yet."""
    days = days_left(identity)
    if days <= 0:
        _LOG.error("certificate: expired %.1f days ago, no link can be opened: %s", -days, _remedy(identity))
    elif found := problem(identity):
        _LOG.error("%s", found)
    elif days < SOON_DAYS:
        _LOG.warning("certificate: expires in %.1f days: %s", days, _remedy(identity))


def _remedy(identity: Identity) -> str:
    """A client's own certificate can be renewed alone; one that ends with its authority cannot."""
    own, authority = _both(identity)
    named = any(name.endswith(f".{role_name('client')}") for name in names_in(own))
    if named and own.not_valid_after_utc < authority.not_valid_after_utc:
        return "have another one issued (pi-server clients issue)"
    return "all parties need new keys (pi-server keys)"


def check_role(identity: Identity, role: Role) -> None:
    """Raise ConfigError if its certificate is not one of ``role``: no peer would take it."""
    names = names_in(x509.load_pem_x509_certificate(identity.certificate))
    if role_name(role) not in names:
        raise ConfigError(
            f"keys: expected a certificate of {role_name(role)}, found one of {names[0] if names else None}"
        )


def names_in(certificate: x509.Certificate) -> list[str]:
    """Its DNS names."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)


def _both(identity: Identity) -> list[x509.Certificate]:
    return [x509.load_pem_x509_certificate(pem) for pem in (identity.certificate, identity.authority)]
