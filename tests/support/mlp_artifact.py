"""A fully connected network 64-12-10 with integer weights: what a client that repeats one picture would solve for."""

import numpy as np

from pi_system.artifact import Artifact, Graph, Node, Preprocess, RingConfig
from pi_system.artifact.graph import Flatten, Input, Linear, Relu, Truncate

HIDDEN, CLASSES, SHIFT = 12, 10, 12


FEW_BITS = 5
"""Of 16 that ``few bits`` compares: the window of random signs, |x| < 4, holds every ReLU's input."""


def mlp_artifact(kind: str) -> Artifact:
    """``relu``: 12 ReLUs that truncate, 32 bits; ``few bits``: the same with random signs; ``skipped``: every other one
    skips its ReLU, 59 bits; ``before``: a truncation in front of all ReLUs, 59 bits."""
    skipped, before = kind == "skipped", kind == "before"
    relu_input = "hidden.truncate" if before else "hidden"
    nodes: list[Node] = [
        Input(name="input", inputs=(), shape=(1, 8, 8)),
        Flatten(name="flatten", inputs=("input",), shape=(64,)),
        Linear(name="hidden", inputs=("flatten",), shape=(HIDDEN,), in_features=64),
        *([Truncate(name="hidden.truncate", inputs=("hidden",), shape=(HIDDEN,))] if before else []),
        Relu(
            name="relu",
            inputs=(relu_input,),
            shape=(HIDDEN,),
            active=HIDDEN // 2 if skipped else HIDDEN,
            masked=skipped,
        ),
        Linear(name="fc", inputs=("relu",), shape=(CLASSES,), in_features=HIDDEN),
    ]
    frac_bits = {"input": 8, "flatten": 8, "hidden": 20, "hidden.truncate": 8, "relu": 8, "fc": 14}
    ring = RingConfig(
        ring_bits=32 if kind in ("relu", "few bits") else 59,
        frac_bits={node.name: frac_bits[node.name] for node in nodes},
        weight_frac_bits={"hidden": SHIFT, "fc": 6},
        comparison_bits={"relu": 16 if before else 28},
        compare_bits={"relu": FEW_BITS} if kind == "few bits" else {},
        logit_bits=24,
        truncation_log2=-1000.0 if kind in ("relu", "few bits") else -24.0,
    )
    rng = np.random.default_rng(7)
    weights = {
        "hidden.weight": rng.normal(size=(HIDDEN, 64)) / 8,
        "hidden.bias": np.full(HIDDEN, 2.0),  # every ReLU is active on the picture that is repeated
        "fc.weight": rng.integers(-40, 41, (CLASSES, HIDDEN)) / 64,
        "fc.bias": np.zeros(CLASSES),
    }
    masks = {"relu": np.arange(HIDDEN) % 2 == 0} if skipped else {}
    return Artifact.create(
        name=f"mlp-{kind}",
        graph=Graph(nodes=tuple(nodes)),
        ring=ring,
        preprocess=Preprocess(
            channels=1, height=8, width=8, mean=(0.5,), std=(0.25,), classes=tuple(str(i) for i in range(CLASSES))
        ),
        masks=masks,
        weights={name: value.astype(np.float32) for name, value in weights.items()},
    )
