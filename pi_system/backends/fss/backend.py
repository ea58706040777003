"""Backend ``fss`` for the registry: correlations from a dealer; material is kept on disk, by client and model."""

from typing import Any

from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.base import ClientRuntime, ServerRuntime
from pi_system.backends.fss.dealer import deal
from pi_system.backends.fss.party import FssClient, FssServer
from pi_system.backends.registry import RuntimeOptions
from pi_system.errors import ConfigError

__all__ = ["DEALT", "DURABLE", "deal", "make_client", "make_server"]

DURABLE = True
DEALT = True


def make_server(artifact: Artifact, options: RuntimeOptions) -> ServerRuntime:
    """See Backend."""
    return FssServer(artifact, options.store_dir, options.client_id, **_chosen(options))


def make_client(public: PublicArtifact, options: RuntimeOptions) -> ClientRuntime:
    """See Backend."""
    return FssClient(public, options.store_dir, options.client_id, **_chosen(options))


def _chosen(options: RuntimeOptions) -> dict[str, Any]:
    if options.insecure_provider:
        raise ConfigError(f"insecure provider: expected backend crypten, found {options.backend}")
    return {"reveal": options.reveal}
