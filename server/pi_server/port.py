"""A port that is ours whichever worker comes and goes."""

import socket

from pi_system.errors import ConfigError
from pi_system.rpc.transport import check_address


def reserve_port(listen: str) -> tuple[socket.socket, str]:
    """Bind without listening, so that the port is ours whichever worker comes and goes.

    Returns:
        The socket to keep open, and HOST:PORT with the port's number.

    Raises:
        ConfigError: the address cannot be bound, or another process has it.
    """
    host, _, port_text = check_address(listen).rpartition(":")
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host.strip("[]"), int(port_text), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # Without SO_REUSEPORT: fails if another server, of ours or not, holds the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
        keeper = socket.socket(family, kind, protocol)
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeper.bind(target)
    except OSError as error:
        raise ConfigError(f"listen: expected a free address, found {listen}: {error.strerror}") from None
    return keeper, f"{host}:{keeper.getsockname()[1]}"
