"""A two-ReLU network whose weights are scaled by a number: two scales give very different secrets, one graph."""

import numpy as np

from pi_system.artifact import Artifact, Graph, Preprocess, RingConfig
from pi_system.artifact.graph import Conv2d, Flatten, Input, Linear, Relu
from pi_system.artifact.shapes import weight_shapes

_SIDE = 8


def _conv(name: str, source: str, channels: int) -> Conv2d:
    return Conv2d(
        name=name,
        inputs=(source,),
        shape=(4, _SIDE, _SIDE),
        in_channels=channels,
        kernel=(3, 3),
        stride=(1, 1),
        padding=(1, 1),
    )


def relu_artifact(weight_scale: float, *, ring_bits: int = 32, logit_bits: int = 24) -> Artifact:
    """conv, ReLU, conv, ReLU, linear on 1x8x8 pictures, 24 comparison bits."""
    shape, features = (4, _SIDE, _SIDE), 4 * _SIDE * _SIDE
    graph = Graph(
        nodes=(
            Input(name="input", inputs=(), shape=(1, _SIDE, _SIDE)),
            _conv("conv1", "input", 1),
            Relu(name="relu1", inputs=("conv1",), shape=shape, active=features),
            _conv("conv2", "relu1", 4),
            Relu(name="relu2", inputs=("conv2",), shape=shape, active=features),
            Flatten(name="flatten", inputs=("relu2",), shape=(features,)),
            Linear(name="fc", inputs=("flatten",), shape=(10,), in_features=features),
        )
    )
    frac_bits = {"input": 8, "conv1": 14, "relu1": 8, "conv2": 14, "relu2": 8, "flatten": 8, "fc": 14}
    ring = RingConfig(
        ring_bits=ring_bits,
        frac_bits=frac_bits,
        weight_frac_bits={"conv1": 6, "conv2": 6, "fc": 6},
        comparison_bits={"relu1": 24, "relu2": 24},
        logit_bits=logit_bits,
    )
    rng = np.random.default_rng(0)
    weights = {n: (rng.normal(size=s) * weight_scale).astype(np.float32) for n, s in weight_shapes(graph).items()}
    classes = tuple(str(label) for label in range(10))
    preprocess = Preprocess(channels=1, height=_SIDE, width=_SIDE, mean=(0.5,), std=(0.25,), classes=classes)
    return Artifact.create(name="scaled", graph=graph, ring=ring, preprocess=preprocess, masks={}, weights=weights)
