"""Backend ``fss`` for the registry. Its material is kept on disk, a folder a client and model."""

from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.base import ClientRuntime, ServerRuntime
from pi_system.errors import ConfigError
from pi_system.offline.dealer import deal
from pi_system.rpc.registry import RuntimeOptions
from pi_system.runtime.fss import FssClient, FssServer

__all__ = ["DURABLE", "deal", "make_client", "make_server"]

DURABLE = True


def make_server(artifact: Artifact, options: RuntimeOptions) -> ServerRuntime:
    """See Backend."""
    _check(options)
    config = options.config
    reveal_argmax = config.reveal == "argmax"
    return FssServer(artifact, options.store_dir, config.client_id.hex(), reveal_argmax=reveal_argmax)


def make_client(public: PublicArtifact, options: RuntimeOptions) -> ClientRuntime:
    """See Backend."""
    _check(options)
    config = options.config
    reveal_argmax = config.reveal == "argmax"
    return FssClient(public, options.store_dir, config.client_id.hex(), reveal_argmax=reveal_argmax)


def _check(options: RuntimeOptions) -> None:
    if options.config.insecure:
        raise ConfigError("insecure: expected backend crypten, found fss, which has no insecure provider")
