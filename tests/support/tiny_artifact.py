"""One hand-made artifact whose every value is written out: for golden tests and tests of the store."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact import Artifact, Graph, Preprocess, PublicModel, RingConfig
from pi_system.artifact.graph import Conv2d, Flatten, Input, Linear, Relu
from pi_system.artifact.model import tensor_bytes

GRAPH = Graph(
    nodes=(
        Input(name="input", inputs=(), shape=(1, 2, 2)),
        Conv2d(
            name="conv",
            inputs=("input",),
            shape=(2, 2, 2),
            in_channels=1,
            kernel=(3, 3),
            stride=(1, 1),
            padding=(1, 1),
        ),
        Relu(name="relu", inputs=("conv",), shape=(2, 2, 2), active=5, masked=True),
        Flatten(name="flatten", inputs=("relu",), shape=(8,)),
        Linear(name="fc", inputs=("flatten",), shape=(2,), in_features=8),
    )
)
RING = RingConfig(
    ring_bits=64,
    frac_bits={"input": 8, "conv": 18, "relu": 8, "flatten": 8, "fc": 18},
    weight_frac_bits={"conv": 10, "fc": 10},
    comparison_bits={"relu": 24},
    logit_bits=24,
    overflow_log2=-20.5,
    truncation_log2=-33.0,
)
NARROW_RING = RingConfig(
    ring_bits=15,
    frac_bits={"input": 5, "conv": 10, "relu": 5, "flatten": 5, "fc": 10},
    weight_frac_bits={"conv": 5, "fc": 5},
    comparison_bits={"relu": 13},
    logit_bits=13,
    overflow_log2=-20.5,
    truncation_log2=-33.0,
)
"""Too narrow for homomorphic encryption."""
PREPROCESS = Preprocess(channels=1, height=2, width=2, mean=(0.5,), std=(0.25,), classes=("no", "yes"))


def narrow_artifact() -> Artifact:
    """The same for backends with a dealer alone."""
    return tiny_artifact(NARROW_RING.ring_bits, NARROW_RING)


def tiny_artifact(ring_bits: int = 64, ring: RingConfig = RING) -> Artifact:
    """A 2x2 picture, one convolution, five ReLUs, two classes; fixed model id and salt."""
    masks = {"relu": np.array([[[1, 0], [1, 0]], [[1, 1], [1, 0]]], dtype=bool)}
    weights: dict[str, NDArray[Any]] = {
        "conv.weight": (np.arange(18, dtype=np.float32).reshape(2, 1, 3, 3) - 9) / 16,
        "conv.bias": np.array([0.25, -0.5], dtype=np.float32),
        "fc.weight": (np.arange(16, dtype=np.float32).reshape(2, 8) - 8) / 8,
        "fc.bias": np.array([0.125, 0.0], dtype=np.float32),
    }
    salt = bytes(range(32))
    public = PublicModel(
        model_id="00112233445566778899aabbccddeeff",
        name="tiny",
        graph=GRAPH,
        ring=ring.model_copy(update={"ring_bits": ring_bits}),
        preprocess=PREPROCESS,
        masks_digest=hashlib.sha256(tensor_bytes(masks)).hexdigest(),
        weights_commitment=hashlib.sha256(salt + tensor_bytes(weights)).hexdigest(),
    )
    return Artifact(public=public, masks=masks, weights=weights, salt=salt)
