"""Backend ``fss`` for the registry. Its material is on disk, in the client's own folder of the store."""

from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.base import ClientRuntime, ServerRuntime
from pi_system.offline.dealer import deal
from pi_system.rpc.registry import RuntimeOptions
from pi_system.runtime.fss import FssClient, FssServer

__all__ = ["deal", "make_client", "make_server"]


def make_server(artifact: Artifact, options: RuntimeOptions) -> ServerRuntime:
    """See Backend."""
    config = options.config
    return FssServer(artifact, options.store_dir, config.client_id.hex(), reveal_argmax=config.reveal == "argmax")


def make_client(public: PublicArtifact, options: RuntimeOptions) -> ClientRuntime:
    """See Backend."""
    config = options.config
    return FssClient(public, options.store_dir, config.client_id.hex(), reveal_argmax=config.reveal == "argmax")
