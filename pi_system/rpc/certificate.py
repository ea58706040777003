"""How long a party's certificates are still valid."""

import logging
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from pi_system.rpc.tls import Identity

SOON_DAYS: Final = 30.0
"""From then on expiry is warned of."""
_LOG = logging.getLogger(__name__)


def days_left(identity: Identity) -> float:
    """Days until the first of the party's and the authority's certificates expires; negative once one has."""
    found = [x509.load_pem_x509_certificate(pem) for pem in (identity.certificate, identity.authority)]
    return min((one.not_valid_after_utc - datetime.now(UTC)).total_seconds() for one in found) / 86400


def warn_of_expiry(identity: Identity) -> None:
    """Log a warning, or an error, if they expire soon, or have."""
    days = days_left(identity)
    if days <= 0:
        _LOG.error("certificate: expired %.1f days ago, no link can be opened: make new keys (pi-server keys)", -days)
    elif days < SOON_DAYS:
        _LOG.warning("certificate: expires in %.1f days: make new keys (pi-server keys)", days)
