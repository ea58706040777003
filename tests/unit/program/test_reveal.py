"""What may be revealed of which network."""

from pathlib import Path

import pytest
from tiny_artifact import tiny_artifact

from pi_server.options import ServerOptions
from pi_system.artifact.graph import Input, Linear
from pi_system.artifact.model import Artifact
from pi_system.errors import ConfigError
from pi_system.program.reveal import Reveal
from pi_system.rpc.server_session import SessionHost
from pi_system.rpc.session_config import SessionConfig


def one_output() -> Artifact:
    """The tiny network with one output in place of two."""
    tiny = tiny_artifact()
    *nodes, last = tiny.public.graph.nodes
    assert isinstance(nodes[0], Input)
    assert isinstance(last, Linear)
    graph = tiny.public.graph.model_copy(update={"nodes": (*nodes, last.model_copy(update={"shape": (1,)}))})
    weights = {name: tensor[:1] if name.startswith("fc") else tensor for name, tensor in tiny.weights.items()}
    preprocess = tiny.public.preprocess.model_copy(update={"classes": ("price",)})
    ring = tiny.public.ring
    return Artifact.create(name="one", graph=graph, ring=ring, preprocess=preprocess, masks=tiny.masks, weights=weights)


def options(artifact: Artifact, reveal: Reveal) -> ServerOptions:
    return ServerOptions(
        artifact=artifact, listen="127.0.0.1:0", dealer=None, store_dir=Path(), allowed=("fss",), reveal=reveal
    )


def test_a_server_reveals_no_label_of_a_network_that_has_none() -> None:
    with pytest.raises(ConfigError, match="expected scores or logits of a network with one output"):
        options(one_output(), "label")
    assert options(one_output(), "scores").reveal == "scores"
    assert options(tiny_artifact(), "label").reveal == "label"


def test_nor_does_a_client_get_one_that_asks() -> None:
    host = SessionHost(artifact=one_output(), store_dir=Path(), dealer=None, allowed=("fss",), reveal="logits")
    asked = SessionConfig(backend="fss", artifact_digest="", client_id=bytes(16), reveal="label")
    with pytest.raises(ConfigError, match="which has no label"):
        host.agree(asked)
