"""Control messages of a session without a profile, byte for byte as before there were profiles."""

import pytest

from pi_system._proto.v1.control_pb2 import ClientEnvelope, Done, Prepared, ServerEnvelope, ServerHello
from pi_system.rpc.session_config import Hello, SessionConfig, hello_to_proto

CONFIG = SessionConfig(backend="gmw", artifact_digest="ab", client_id=bytes(16), reveal="logits")


@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        (
            ClientEnvelope(hello=hello_to_proto(Hello(config=CONFIG))),
            "0a2508031203676d771a0261622210000000000000000000000000000000002a066c6f67697473",
        ),
        (
            ServerEnvelope(hello=ServerHello(protocol_version=2, artifact_digest="ab", public_model_bytes=300)),
            "0a0908021202616218ac02",
        ),
        (ServerEnvelope(prepared=Prepared(dealer_bytes=300, profile_bytes=0)), "120308ac02"),
        (ServerEnvelope(done=Done(profile_bytes=0)), "2200"),
    ],
)
def test_control_messages_keep_their_bytes(envelope, expected):
    assert envelope.SerializeToString().hex() == expected
