"""A network whose logits are its picture: what is revealed of them is all that is tested.

One linear layer with the weight 1 on the diagonal. Import it as ``from chosen_logits import chosen_logits_artifact``.
"""

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact import Artifact
from pi_system.artifact.graph import Flatten, Graph, Input, Linear
from pi_system.artifact.preprocess import Preprocess
from pi_system.artifact.ring_config import RingConfig

FRAC_BITS = 6
"""Of the picture and of the logits; the weights have none."""


def chosen_logits_artifact(ring_bits: int, logit_bits: int, classes: int, shift: int | None) -> Artifact:
    """Logits of ``logit_bits``; scores drop ``shift`` bits of them, None: as many as the artifact's default."""
    graph = Graph(
        nodes=(
            Input(name="x", inputs=(), shape=(1, 1, classes)),
            Flatten(name="flat", inputs=("x",), shape=(classes,)),
            Linear(name="out", inputs=("flat",), shape=(classes,), in_features=classes),
        )
    )
    ring = RingConfig(
        ring_bits=ring_bits,
        frac_bits=dict.fromkeys(("x", "flat", "out"), FRAC_BITS),
        weight_frac_bits={"out": 0},
        comparison_bits={},
        logit_bits=logit_bits,
        weight_norm_bits=1,
        score_step_log2=None if shift is None else shift - FRAC_BITS,
    )
    names = tuple(str(name) for name in range(classes))
    return Artifact.create(
        name=f"identity of {classes}",
        graph=graph,
        ring=ring,
        preprocess=Preprocess(channels=1, height=1, width=classes, mean=(0.0,), std=(1.0,), classes=names),
        masks={},
        weights={
            "out.weight": np.eye(classes, dtype=np.float32),
            "out.bias": np.zeros(classes, np.float32),
        },
    )


def pictures_of(logits: NDArray[np.int64], ring: RingConfig) -> NDArray[np.float64]:
    """Pictures (N, 1, 1, classes) that give exactly these integers."""
    pictures: NDArray[np.float64] = logits * np.float64(2.0 ** -ring.frac_bits["out"])
    return pictures[:, None, None, :]
