"""Two processes over gRPC with a backend that the package does not know."""

from pathlib import Path

from oracle import assert_within_ulps
from processes import toy_server
from random_networks import random_small_artifact

from pi_system.artifact import save
from pi_system.export.random import random_pictures
from pi_system.rpc.client_session import ClientSession
from pi_system.rpc.endpoint import Endpoint
from pi_system.rpc.session_config import SessionConfig


def test_a_backend_registered_by_name_serves_a_session(tmp_path: Path) -> None:
    artifact = random_small_artifact(3)
    save(artifact, tmp_path / "artifact")
    pictures = random_pictures(artifact.public.graph.input.shape, 2, 1)
    config = SessionConfig(backend="insecure-ideal", artifact_digest="", client_id=bytes(16), reveal="logits")
    with toy_server(tmp_path / "artifact", "127.0.0.1:1", reveal="logits") as (_, address):
        endpoint = Endpoint(
            server=address,
            dealer=None,
            store_dir=tmp_path / "client",
            backends={"insecure-ideal": "insecure_ideal"},
        )
        with ClientSession(endpoint, config) as session:
            session.prepare(2)
            logits, _ = session.infer(pictures)
    assert_within_ulps(artifact, pictures, logits)
