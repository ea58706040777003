"""Pins the bytes of an artifact and of control messages. If an artifact's change: FORMAT_VERSIONS, a Migration line."""

import hashlib
from typing import Any

import pytest
from tiny_artifact import tiny_artifact

from pi_system._proto.v1.control_pb2 import ClientEnvelope, Done, Prepared, ServerEnvelope, ServerHello
from pi_system.artifact import public_to_bytes
from pi_system.artifact.model import FORMAT_VERSIONS, tensor_bytes
from pi_system.program import quantise_weights
from pi_system.rpc.session_config import Hello, SessionConfig, hello_to_proto

DIGEST = "bd940ea51232c4444ea208b01e3784e9a02a80048bc9f5910476a7b940c324aa"
WIRE = "0f7e797f7a8c20697ab0ad7900f2e7536324c3416ca1808857d9a44570d1697a"
WEIGHTS = "7b3e3093e3de309817e5e7ccf1fd1449e2de7722a3d195c18b7b039af2f16621"
INTEGERS = "5445268fcbbf9388feede2fc80f60aeb020b9a0f9690e25624ffbdfdf1657dd4"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_digest_and_wire_form_of_a_fixed_artifact() -> None:
    artifact = tiny_artifact()
    assert FORMAT_VERSIONS == (1, 2, 3)
    assert artifact.public.digest == DIGEST
    assert sha256(public_to_bytes(artifact)) == WIRE
    assert sha256(tensor_bytes(artifact.weights)) == WEIGHTS


def test_quantised_weights_of_a_fixed_artifact() -> None:
    artifact = tiny_artifact()
    integers = quantise_weights(artifact.public.graph, artifact.public.ring, artifact.weights)
    assert sha256(tensor_bytes(integers)) == INTEGERS


CONFIG = SessionConfig(backend="gmw", artifact_digest="ab", client_id=bytes(16), reveal="logits")


@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        (
            ClientEnvelope(hello=hello_to_proto(Hello(config=CONFIG))),
            "0a25080c1203676d771a0261622210000000000000000000000000000000002a066c6f67697473",
        ),
        (
            ServerEnvelope(hello=ServerHello(protocol_version=2, artifact_digest="ab", public_model_bytes=300)),
            "0a0908021202616218ac02",
        ),
        (ServerEnvelope(prepared=Prepared(dealer_bytes=300, profile_bytes=0)), "120308ac02"),
        (ServerEnvelope(done=Done(profile_bytes=0)), "2200"),
    ],
)
def test_control_messages_keep_their_bytes(envelope: Any, expected: str) -> None:
    assert envelope.SerializeToString().hex() == expected
