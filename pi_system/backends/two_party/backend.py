"""Backends ``gmw``, ``gc`` and ``table`` for the registry: no dealer; material is kept on disk, by client and model."""

from pi_system.backends.two_party.party import TwoPartyClient, TwoPartyServer
from pi_system.channel.base import Channel
from pi_system.errors import ConfigError

__all__ = ["DEALT", "DURABLE", "deal", "make_client", "make_server"]

DURABLE = True
DEALT = False
make_server = TwoPartyServer
make_client = TwoPartyClient


def deal(request: bytes, count: int, server: Channel, client: Channel) -> None:
    """Nothing is dealt here. Raises ConfigError."""
    raise ConfigError("dealer: expected a backend with a dealer, found one of two parties")
