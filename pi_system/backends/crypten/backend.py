"""Backend ``crypten`` for the registry. Its material lives in memory and ends with the session."""

from typing import Any

from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.base import ClientRuntime, ServerRuntime
from pi_system.backends.crypten.dealer import deal
from pi_system.backends.crypten.party import CryptenClient, CryptenServer
from pi_system.secure.options import RuntimeOptions

__all__ = ["DEALT", "DURABLE", "deal", "make_client", "make_server"]

DURABLE = False
DEALT = True


def make_server(artifact: Artifact, options: RuntimeOptions) -> ServerRuntime:
    """See Backend."""
    return CryptenServer(artifact.public.graph, artifact.weights, artifact.masks, **_chosen(artifact, options))


def make_client(public: PublicArtifact, options: RuntimeOptions) -> ClientRuntime:
    """See Backend."""
    return CryptenClient(public.public.graph, public.masks, **_chosen(public, options))


def _chosen(public: PublicArtifact, options: RuntimeOptions) -> dict[str, Any]:
    graph = public.public.graph
    return {
        "insecure_provider": options.insecure_provider,
        "reveal": options.reveal,
        "score_step_log2": public.public.ring.score_step(graph.output),
    }
