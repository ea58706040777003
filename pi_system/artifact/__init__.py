"""The exported model: graph, ReLU map, fixed-point parameters, weights; its folder and its wire form."""

from pi_system.artifact.graph import Graph, Node
from pi_system.artifact.model import Artifact, PublicArtifact, PublicModel
from pi_system.artifact.preprocess import Preprocess
from pi_system.artifact.ring_config import RingConfig
from pi_system.artifact.store import load, load_public, public_from_bytes, public_to_bytes, save

__all__ = [
    "Artifact",
    "Graph",
    "Node",
    "Preprocess",
    "PublicArtifact",
    "PublicModel",
    "RingConfig",
    "load",
    "load_public",
    "public_from_bytes",
    "public_to_bytes",
    "save",
]
