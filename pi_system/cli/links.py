"""Options of every program that connects or listens: whose keys it uses, or that it does without TLS."""

from pathlib import Path

import click

from pi_system.cli.program import with_options
from pi_system.errors import ConfigError
from pi_system.rpc.certificate import check_role, warn_of_expiry
from pi_system.rpc.tls import Identity, Role, check_plaintext
from pi_system.rpc.transport import check_address

link_options = with_options(
    click.option(
        "--keys",
        envvar="PI_KEYS",
        type=click.Path(path_type=Path),
        help="This party's folder of those that `pi-server keys` makes.",
    ),
    click.option("--insecure", is_flag=True, help="No TLS; on this machine only."),
)


def open_identity(keys: Path | None, insecure: bool, *addresses: str, role: Role | None = None) -> Identity | None:
    """What --keys and --insecure stand for; None: plaintext to or at ``addresses``.

    Raises:
        ConfigError: neither or both were given, the keys cannot be used or are not of ``role`` (None: any role), or an
            address is not on this machine.
    """
    if keys is not None and insecure:
        raise ConfigError("keys: expected one of --keys and --insecure, found both")
    if keys is not None:
        identity = Identity.load(keys)
        if role is not None:
            check_role(identity, role)
        warn_of_expiry(identity)
        return identity
    if not insecure:
        raise ConfigError(
            "keys: expected --keys DIR (to make some: pi-server keys DIR), or --insecure for plaintext on this machine"
        )
    for address in addresses:
        check_plaintext(check_address(address))
    return None
