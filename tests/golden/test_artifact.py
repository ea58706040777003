"""Pins the artifact's bytes. If one of these changes, raise FORMAT_VERSION and write a Migration line."""

import hashlib

from tiny_artifact import tiny_artifact

from pi_system.artifact import public_to_bytes
from pi_system.artifact.model import FORMAT_VERSION, tensor_bytes
from pi_system.program import quantise_weights

DIGEST = "0797a187ef6c72aac18761fead2254f55c378d5888890032ad272dce1aba9764"
WIRE = "2104fccf423ba329679a9ff2b36adbf9c357f88f1c34c249eef287453d06ad0e"
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
