"""A finished training run to an artifact folder."""

from pathlib import Path
from typing import Any

import torch

from pi_system.artifact.store import save
from pi_system.export.exporter import export_network
from pi_system.export.quantise import QuantiseOptions
from pi_system.export.score_step import labels_kept
from pi_system.program.counts import mac_count, relu_count, relu_layers
from pi_system.program.float_point import float_logits
from pi_system.train.data import load_data
from pi_system.train.data.augment import Normalisation
from pi_system.train.run import RunDirectory

CALIBRATION_PICTURES = 256
"""Training pictures that the ranges are calibrated on. More: a surer tail estimate, a slower export."""


def export_run(run: Path, folder: Path, options: QuantiseOptions | None = None) -> dict[str, Any]:
    """Export the finished run ``run`` as the artifact ``folder``; returns what a user wants to know of it.

    ``labels_kept_by_scores`` is the share of calibration pictures whose label is that of their scores, too.

    Raises:
        InputError: the run is not finished, or its data set is gone.
        UnsupportedLayerError: the network has a layer that export does not support.
        ArtifactError: ``folder`` exists.
    """
    directory = RunDirectory(run)
    loaded = directory.load()
    data = load_data(directory.data_config())
    pictures = data.train.images[torch.linspace(0, len(data.train) - 1, CALIBRATION_PICTURES).long()]
    inputs = Normalisation.of(loaded.preprocess, torch.device("cpu"))(pictures).contiguous().numpy()
    artifact = export_network(loaded.network, loaded.preprocess, inputs, str(loaded.spec), options)
    save(artifact, folder)
    graph, ring = artifact.public.graph, artifact.public.ring
    step_log2 = ring.score_step(graph.output)
    return {
        "artifact": str(folder),
        "network": artifact.public.name,
        "digest": artifact.public.digest,
        "relus": relu_count(graph),
        "relu_layers": relu_layers(graph),
        "macs": mac_count(graph),
        "ring_bits": ring.ring_bits,
        "comparison_bits": max(ring.comparison_bits.values(), default=0),
        "compare_bits": ring.compare_bits,
        "overflow_log2": ring.overflow_log2,
        "truncation_log2": ring.truncation_log2,
        "score_step": 2.0**step_log2,
        "labels_kept_by_scores": labels_kept(float_logits(artifact, inputs), step_log2),
    }
