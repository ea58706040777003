"""Backends ``fss``, ``fss-bit`` and ``fss-arith`` for the registry; material is kept on disk, by client and model.

``fss`` takes the comparison variant that the cost model finds faster on the session's link; the others name theirs.
"""

from typing import Any

from pi_system.artifact.model import Artifact, PublicArtifact
from pi_system.backends.base import ClientRuntime, ServerRuntime
from pi_system.channel.shaped import parse_link
from pi_system.cost import choose_variant
from pi_system.errors import ConfigError
from pi_system.offline.dealer import deal
from pi_system.protocols.relu_dcf import Variant
from pi_system.rpc.registry import RuntimeOptions
from pi_system.runtime.fss import FssClient, FssServer

__all__ = ["DEALT", "DURABLE", "deal", "make_client", "make_server"]

DURABLE = True
DEALT = True
_VARIANTS: dict[str, Variant] = {"fss-bit": "bit", "fss-arith": "arith"}


def make_server(artifact: Artifact, options: RuntimeOptions) -> ServerRuntime:
    """See Backend."""
    return FssServer(artifact, options.store_dir, options.config.client_id.hex(), **_chosen(artifact, options))


def make_client(public: PublicArtifact, options: RuntimeOptions) -> ClientRuntime:
    """See Backend."""
    return FssClient(public, options.store_dir, options.config.client_id.hex(), **_chosen(public, options))


def _chosen(public: PublicArtifact, options: RuntimeOptions) -> dict[str, Any]:
    config = options.config
    if config.insecure_provider:
        raise ConfigError(f"insecure provider: expected backend crypten, found {config.backend}")
    variant = _VARIANTS.get(config.backend) or choose_variant(public, parse_link(config.link))
    return {"variant": variant, "reveal": config.revealed}
