"""An exported model in memory: its public part, which a client may see, and the server's weights."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from pi_system.artifact.graph import Graph
from pi_system.artifact.preprocess import Preprocess
from pi_system.artifact.ring_check import check_ring
from pi_system.artifact.ring_config import RingConfig
from pi_system.artifact.shapes import check_graph, weight_shapes
from pi_system.errors import ArtifactError

FORMAT_VERSIONS = (1, 2, 3)
"""What is read; written is the oldest that can say the graph (``Graph.format_version``)."""

Masks = Mapping[str, NDArray[np.bool_]]
"""ReLU map: for every node of ``Graph.masked`` its active positions, (C, H, W)."""

Weights = Mapping[str, NDArray[np.float32]]
"""``n.weight`` and ``n.bias`` of every weighted node ``n``, ``n.bias`` of every node of ``Graph.biased``."""

_Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Approximation(BaseModel):
    """What straight pieces in the place of smooth functions changed, in real numbers, on calibration pictures.

    Attributes:
        functions: how many were replaced.
        function_error: the largest distance of the pieces from their function.
        error: the largest difference of an output from the module's, as a share of the spread of its elements; of
            several outputs where that is most.
        agreement: share of the pictures whose label is the module's; of several outputs where that is least.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    functions: Annotated[int, Field(ge=1)]
    function_error: Annotated[float, Field(ge=0)]
    error: Annotated[float, Field(ge=0)]
    agreement: Annotated[float, Field(ge=0, le=1)]


class Accuracy(BaseModel):
    """What fixed point cost on the calibration pictures at export, all bits compared, rounded as ``gmw`` does.

    Attributes:
        pictures: how many.
        error: the largest difference of a logit from the float network's, as a share of the spread of logits; of
            several outputs where that is most.
        agreement: share of the pictures whose label is the float network's; of several outputs where that is least.
        approximation: of the float network itself; None if it is the module.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pictures: Annotated[int, Field(ge=1)]
    error: Annotated[float, Field(ge=0)]
    agreement: Annotated[float, Field(ge=0, le=1)]
    approximation: Approximation | None = None

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A statement without an approximation keeps the JSON it had."""
        content: dict[str, Any] = handler(self)
        if self.approximation is None:
            del content["approximation"]
        return content


class PublicModel(BaseModel):
    """What a client may see of a model, besides the ReLU map: architecture, ring, preprocessing; no weights.

    Attributes:
        format_version: of the artifact folder and its wire form.
        model_id: 16 random bytes in hex, drawn at export.
        name: the network's specification, such as ``resnet18:m=16``.
        graph: the network.
        ring: fixed-point parameters.
        preprocess: how a picture becomes the input.
        masks_digest: SHA-256 of the ReLU map's file.
        weights_commitment: SHA-256 of a secret 32-byte salt followed by the weight file. It binds the server to
            one set of weights and, by the salt, tells nothing about them.
        accuracy: see Accuracy; None in artifacts from before it was stated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = 1
    model_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    name: Annotated[str, Field(pattern=r"^[ -~]{1,256}$")]
    graph: Graph
    ring: RingConfig
    preprocess: Preprocess
    masks_digest: _Hex64
    weights_commitment: _Hex64
    accuracy: Accuracy | None = None

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An artifact without a statement keeps the digest it was written with."""
        content: dict[str, Any] = handler(self)
        if self.accuracy is None:
            del content["accuracy"]
        return content

    def canonical_json(self) -> bytes:
        """The one JSON text of this model: sorted keys, no spaces."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex of the canonical JSON; through ``masks_digest`` it covers the ReLU map, too."""
        return hashlib.sha256(self.canonical_json()).hexdigest()


@dataclass(frozen=True, eq=False)
class PublicArtifact:
    """The public model with its ReLU map: all a client or a dealer ever gets."""

    public: PublicModel
    masks: Masks

    def __post_init__(self) -> None:
        """Check everything against everything. Raises ArtifactError."""
        check_graph(self.public.graph)
        _check_version(self.public)
        check_ring(self.public.graph, self.public.ring)
        _check_preprocess(self.public)
        _check_masks(self.public.graph, self.masks)

    def active(self, node: str) -> NDArray[np.bool_] | None:
        """Active positions of a ReLU, a square or a selection, None if all are."""
        return self.masks.get(node)


@dataclass(frozen=True, eq=False)
class Artifact(PublicArtifact):
    """The whole exported model; only the server has it.

    Attributes:
        weights: float32 tensors. Secret.
        salt: of the weights commitment. Secret.
    """

    weights: Weights = field(repr=False)
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check everything against everything. Raises ArtifactError."""
        super().__post_init__()
        _check_weights(self.public.graph, self.weights)

    @classmethod
    def create(
        cls,
        *,
        name: str,
        graph: Graph,
        ring: RingConfig,
        preprocess: Preprocess,
        masks: Masks,
        weights: Weights,
        accuracy: Accuracy | None = None,
    ) -> "Artifact":
        """Build a checked artifact with a fresh model id and commitment."""
        salt = secrets.token_bytes(32)
        public = PublicModel(
            format_version=graph.format_version,
            model_id=secrets.token_hex(16),
            name=name,
            graph=graph,
            ring=ring,
            preprocess=preprocess,
            masks_digest=hashlib.sha256(tensor_bytes(masks)).hexdigest(),
            weights_commitment=hashlib.sha256(salt + tensor_bytes(weights)).hexdigest(),
            accuracy=accuracy,
        )
        return cls(public=public, masks=dict(masks), weights=dict(weights), salt=salt)


def tensor_bytes(tensors: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Safetensors file content of ``tensors``; equal tensors give equal bytes."""
    return bytes(safetensors.numpy.save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}))


def _check_version(public: PublicModel) -> None:
    if public.format_version != public.graph.format_version:
        raise ArtifactError(
            f"format version: expected {public.graph.format_version} for these nodes, found {public.format_version}"
        )


def _check_preprocess(public: PublicModel) -> None:
    preprocess, graph = public.preprocess, public.graph
    picture = (preprocess.channels, preprocess.height, preprocess.width)
    if graph.input.shape != picture:
        raise ArtifactError(f"preprocess: expected pictures of {graph.input.shape}, found {picture}")
    logits = graph.nodes[-1].shape
    if logits != (len(preprocess.classes),):
        raise ArtifactError(f"classes: expected {logits} names, found {len(preprocess.classes)}")


def _check_masks(graph: Graph, masks: Masks) -> None:
    nodes = graph.masked()
    if set(masks) != set(nodes):
        raise ArtifactError(f"ReLU map: expected the masks {sorted(nodes)}, found {sorted(masks)}")
    for name, node in nodes.items():
        mask = masks[name]
        if mask.dtype != np.bool_ or mask.shape != node.shape:
            raise ArtifactError(f"ReLU map {name}: expected bool {node.shape}, found {mask.dtype} {mask.shape}")
        if int(mask.sum()) != node.active:
            raise ArtifactError(f"ReLU map {name}: expected {node.active} active, found {int(mask.sum())}")


def _check_weights(graph: Graph, weights: Weights) -> None:
    shapes = weight_shapes(graph)
    if set(weights) != set(shapes):
        differing = sorted(set(weights) ^ set(shapes))
        raise ArtifactError(f"weights: expected {len(shapes)} tensors of the graph, differing: {differing[:3]}")
    for name, shape in shapes.items():
        tensor = weights[name]
        if tensor.dtype != np.float32 or tensor.shape != shape:
            raise ArtifactError(f"weight {name}: expected float32 {shape}, found {tensor.dtype} {tensor.shape}")
        if not np.isfinite(tensor).all():
            raise ArtifactError(f"weight {name}: expected finite values")
