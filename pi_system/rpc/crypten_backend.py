"""Backend ``crypten`` for the registry. Its material lives in memory and ends with the session."""

from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.base import ClientRuntime, ServerRuntime
from pi_system.backends.crypten_adapter import CryptenClient, CryptenServer, deal
from pi_system.errors import ConfigError
from pi_system.rpc.registry import RuntimeOptions

__all__ = ["DEALT", "DURABLE", "deal", "make_client", "make_server"]

DURABLE = False
DEALT = True


def make_server(artifact: Artifact, options: RuntimeOptions) -> ServerRuntime:
    """See Backend."""
    _check(options)
    return CryptenServer(
        artifact.public.graph, artifact.weights, artifact.masks, insecure_provider=options.config.insecure_provider
    )


def make_client(public: PublicArtifact, options: RuntimeOptions) -> ClientRuntime:
    """See Backend."""
    _check(options)
    return CryptenClient(public.public.graph, public.masks, insecure_provider=options.config.insecure_provider)


def _check(options: RuntimeOptions) -> None:
    if options.config.reveal != "logits":
        raise ConfigError(f"reveal: expected logits with backend crypten, found {options.config.reveal}")
