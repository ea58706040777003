"""The networks that ``pi-client demo`` has beside the built-in one, which lends them its weights: their public parts.

    python scripts/demo_networks.py cifar10:PATH

Half of the ReLUs, ten compared bits, and both. The ReLUs that go are those whose output differs least from their input,
layer by layer, on training pictures; nothing is trained afterwards, so accuracy falls: how far is measured on all test
pictures, in float32, and kept beside the map.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pi_system.artifact.graph import Graph, Node, Relu
from pi_system.artifact.model import Artifact
from pi_system.artifact.store import load, save
from pi_system.demo.variants import ACCURACY_FILE, BUILTIN, PUBLIC_FILES, VARIANTS
from pi_system.export.compare_bits import CompareOptions, choose_compare_bits
from pi_system.networks import artifact_folder
from pi_system.program.float_point import FloatInterpreter, float_logits
from pi_system.protocols.relu_table.shape import MAX_COMPARED_BITS
from pi_system.train.data import load_data
from pi_system.train.data.augment import Normalisation
from pi_system.train.data.dataset import ImageSet
from pi_system.train.data.source import DataConfig

PICTURES: Final = 500
KEPT: Final = 0.5
_BATCH: Final = 200


def inputs(artifact: Artifact, pictures: ImageSet, first: int, last: int) -> NDArray[np.float32]:
    """Pictures [first, last) as the network takes them."""
    normalise = Normalisation.of(artifact.public.preprocess, torch.device("cpu"))
    return np.ascontiguousarray(normalise(pictures.images[first:last]).contiguous().numpy(), np.float32)


def halved(artifact: Artifact, pictures: NDArray[np.float32]) -> Artifact:
    """``artifact`` with the half of every ReLU layer's positions that change their inputs most."""
    public, effects = artifact.public, mean_effects(artifact, pictures)
    masks, nodes = {}, list[Node]()
    for node in public.graph.nodes:
        if isinstance(node, Relu):
            masks[node.name] = effects[node.name] > np.quantile(effects[node.name], 1 - KEPT)
            node = node.model_copy(update={"active": int(masks[node.name].sum()), "masked": True})
        nodes.append(node)
    return Artifact.create(
        name=public.name,
        graph=Graph(nodes=tuple(nodes)),
        ring=public.ring,
        preprocess=public.preprocess,
        masks=masks,
        weights=artifact.weights,
    )


def mean_effects(artifact: Artifact, pictures: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Mean of min(x, 0)^2 at every position of every ReLU layer, (C, H, W) by its name."""
    found: dict[str, NDArray[np.float32]] = {}
    readers = {node.inputs[0]: node.name for node in artifact.public.graph.relus()}

    def observe(node: Node, value: Tensor) -> None:
        if reader := readers.get(node.name):
            found[reader] = value.clamp(max=0).square().mean(0).numpy()

    FloatInterpreter(artifact.masks, artifact.weights, observe).run(artifact.public.graph, torch.from_numpy(pictures))
    return found


def accuracy(artifact: Artifact, pictures: ImageSet) -> float:
    """Share of all ``pictures`` that get their label."""
    right = 0
    for first in range(0, len(pictures), _BATCH):
        logits = np.asarray(float_logits(artifact, inputs(artifact, pictures, first, first + _BATCH)))
        right += int((logits.argmax(1) == pictures.labels[first : first + _BATCH].numpy()).sum())
    return right / len(pictures)


def ship(artifact: Artifact, salt: bytes, name: str, folder: Path) -> None:
    """Keep the public part of ``artifact``, committed to the weights with the built-in network's salt."""
    commitment = load(artifact_folder(BUILTIN)).public.weights_commitment
    public = artifact.public.model_copy(update={"weights_commitment": commitment})
    draft = folder / f".{name}"
    save(Artifact(public=public, masks=artifact.masks, weights=artifact.weights, salt=salt), draft)
    (folder / name).mkdir(exist_ok=True)
    for file in PUBLIC_FILES:
        shutil.copyfile(draft / file, folder / name / file)
    shutil.rmtree(draft)


def main() -> None:
    """Make and keep them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", help="cifar10:PATH")
    data = load_data(DataConfig.parse(parser.parse_args().data))
    full = load(artifact_folder(BUILTIN))
    seen = inputs(full, data.train, 0, PICTURES)
    half = halved(full, seen)
    VARIANTS.mkdir(exist_ok=True)
    for relus, artifact in (("full", full), ("half", half)):
        few, _ = choose_compare_bits(artifact, seen, CompareOptions(bits=MAX_COMPARED_BITS))
        ship(few, full.salt, f"{relus}-10", VARIANTS)
    ship(half, full.salt, "half", VARIANTS)
    stated = {"test_accuracy": accuracy(half, data.test), "pictures": len(data.test)}
    (VARIANTS / ACCURACY_FILE).write_text(json.dumps(stated, indent=2) + "\n")
    print(f"half of the ReLUs: {stated['test_accuracy']:.1%} of {stated['pictures']} test pictures")


if __name__ == "__main__":
    main()
