"""Backends ``gmw`` and ``gc`` for the registry: no dealer; material is kept on disk, by client and model."""

from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.base import ClientRuntime, ServerRuntime
from pi_system.backends.registry import RuntimeOptions
from pi_system.backends.two_party.party import TwoPartyClient, TwoPartyServer
from pi_system.channel.base import Channel
from pi_system.errors import ConfigError
from pi_system.protocols.ot.gate import OtGate
from pi_system.protocols.relu_gc import GC
from pi_system.protocols.relu_gmw import GMW

__all__ = ["DEALT", "DURABLE", "deal", "make_client", "make_server"]

DURABLE = True
DEALT = False
_RELUS = {relu.name: relu for relu in (GMW, GC)}


def deal(request: bytes, count: int, server: Channel, client: Channel) -> None:
    """Nothing is dealt here. Raises ConfigError."""
    raise ConfigError("dealer: expected a backend with a dealer, found one of two parties")


def make_server(artifact: Artifact, options: RuntimeOptions) -> ServerRuntime:
    """See Backend."""
    relu = _relu(options)
    return TwoPartyServer(artifact, relu, options.store_dir, options.client_id, reveal=options.reveal)


def make_client(public: PublicArtifact, options: RuntimeOptions) -> ClientRuntime:
    """See Backend."""
    relu = _relu(options)
    return TwoPartyClient(public, relu, options.store_dir, options.client_id, reveal=options.reveal)


def _relu(options: RuntimeOptions) -> OtGate:
    if options.insecure_provider:
        raise ConfigError(f"insecure provider: expected backend crypten, found {options.backend}")
    return _RELUS[options.backend]
