"""Backend ``fss`` for the registry: correlations from a dealer; material is kept on disk, by client and model."""

from pi_system.backends.fss.dealer import deal
from pi_system.backends.fss.party import FssClient, FssServer

__all__ = ["DEALT", "DURABLE", "deal", "make_client", "make_server"]

DURABLE = True
DEALT = True
make_server = FssServer
make_client = FssClient
