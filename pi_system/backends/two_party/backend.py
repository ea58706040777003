"""Backends ``gmw`` and ``gc`` for the registry: no dealer; material is kept on disk, by client and model."""

from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.base import ClientRuntime, ServerRuntime
from pi_system.backends.registry import RuntimeOptions
from pi_system.backends.two_party.gates import TWO_PARTY_GATES
from pi_system.backends.two_party.party import TwoPartyClient, TwoPartyServer
from pi_system.channel.base import Channel
from pi_system.errors import ConfigError

__all__ = ["DEALT", "DURABLE", "deal", "make_client", "make_server"]

DURABLE = True
DEALT = False


def deal(request: bytes, count: int, server: Channel, client: Channel) -> None:
    """Nothing is dealt here. Raises ConfigError."""
    raise ConfigError("dealer: expected a backend with a dealer, found one of two parties")


def make_server(artifact: Artifact, options: RuntimeOptions) -> ServerRuntime:
    """See Backend."""
    _check(options)
    gates = TWO_PARTY_GATES[options.backend]
    return TwoPartyServer(artifact, options.backend, gates, options.store_dir, options.client_id, reveal=options.reveal)


def make_client(public: PublicArtifact, options: RuntimeOptions) -> ClientRuntime:
    """See Backend."""
    _check(options)
    gates = TWO_PARTY_GATES[options.backend]
    return TwoPartyClient(public, options.backend, gates, options.store_dir, options.client_id, reveal=options.reveal)


def _check(options: RuntimeOptions) -> None:
    if options.insecure_provider:
        raise ConfigError(f"insecure provider: expected backend crypten, found {options.backend}")
