"""A network of the nodes that move and shift values: gather, affine, sums of windows, beside what they are read by."""

import numpy as np

from pi_system.artifact import Artifact, Preprocess
from pi_system.export.draft import Draft
from pi_system.export.quantise import QuantiseOptions, quantise
from pi_system.export.random import random_pictures

SHAPE = (3, 6, 6)


def local_draft() -> Draft:
    """Affine and gather of values that are fresh masks and of some that are not, repeated and left out."""
    rng = np.random.default_rng(5)
    draft = Draft()
    x = draft.input(SHAPE)
    conv = draft.conv2d("conv", x, rng.normal(0, 0.4, (4, 3, 3, 3)), rng.normal(size=4), padding=(1, 1))
    below = draft.signed("below", conv, rng.normal(size=4), negated=True)
    both = draft.relu("relu", draft.concat("both", [conv, below]))
    kept = draft.gather("kept", both, [range(0, 144, 36), range(0, 36, 6), range(6)])
    other = draft.gather("other", both, [range(252, 108, -36), [-1, 30, 0, 0, 6, 12], [5, 4, -1, 2, 1, 0]])
    minus = draft.add("minus", kept, draft.signed("sign", other, negated=True))
    node = draft.avgpool("sums", minus, (3, 2), (3, 2))
    draft.nodes[node] = draft.nodes[node].model_copy(update={"summed": True})
    back = draft.gather("back", draft.flatten("flat", node), [range(0, 24, 2), [1, 0], [0]])
    mixed = draft.conv2d("mixed", back, rng.normal(0, 0.2, (3, 12, 1, 1)), rng.normal(size=3))
    shifted = draft.signed("shifted", draft.flatten("end", draft.relu("last", mixed)), rng.normal(size=6))
    draft.output = draft.linear("logits", shifted, rng.normal(0, 0.4, (4, 6)), rng.normal(size=4))
    return draft


def local_artifact(ring_bits: int) -> Artifact:
    """That network on a ring of so many bits."""
    draft = local_draft()
    graph, weights = draft.graph(), draft.float_weights()
    pictures = random_pictures(SHAPE, 32, 3)
    plan = quantise(graph, draft.masks, weights, pictures, QuantiseOptions(ring_bits=ring_bits)).plan
    preprocess = Preprocess(
        channels=3, height=6, width=6, mean=(0.5,) * 3, std=(0.25,) * 3, classes=("a", "b", "c", "d")
    )
    return Artifact.create(
        name="local", graph=plan.graph, ring=plan.ring, preprocess=preprocess, masks=draft.masks, weights=weights
    )
