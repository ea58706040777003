"""Pins the artifact's bytes. If one of these changes, raise FORMAT_VERSION and write a Migration line."""

import hashlib

from tiny_artifact import tiny_artifact

from pi_system.artifact import public_to_bytes
from pi_system.artifact.model import FORMAT_VERSION, tensor_bytes
from pi_system.program import quantise_weights

DIGEST = "d78789073d97e69f6fdf7c90b8384c37245f2aae471388fd3247926aa265e20e"
WIRE = "51d509ba4aa11316b0a6683cd22531226584ee220b6a8f7a9ed6c773605195f6"
WEIGHTS = "7b3e3093e3de309817e5e7ccf1fd1449e2de7722a3d195c18b7b039af2f16621"
INTEGERS = "d5c68c9310e7785cf22e8fc27831a69063e66541f13df97ce1fb49e49d6826bb"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_digest_and_wire_form_of_a_fixed_artifact() -> None:
    artifact = tiny_artifact()
    assert FORMAT_VERSION == 1
    assert artifact.public.digest == DIGEST
    assert sha256(public_to_bytes(artifact)) == WIRE
    assert sha256(tensor_bytes(artifact.weights)) == WEIGHTS


def test_quantised_weights_of_a_fixed_artifact() -> None:
    artifact = tiny_artifact()
    integers = quantise_weights(artifact.public.graph, artifact.public.ring, artifact.weights)
    assert sha256(tensor_bytes(integers)) == INTEGERS
