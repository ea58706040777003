"""A finished training run to an artifact folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pi_system.artifact.model import Accuracy, Artifact
from pi_system.artifact.store import save
from pi_system.export.compare_auto import CompareTable
from pi_system.export.compare_bits import CompareOptions, choose_compare_bits
from pi_system.export.compare_loss import Judged
from pi_system.export.exporter import export_network
from pi_system.export.quantise import QuantiseOptions
from pi_system.export.score_step import labels_kept
from pi_system.program.counts import mac_count, relu_count, relu_layers
from pi_system.program.float_point import float_logits
from pi_system.train.data import DataSet, load_data
from pi_system.train.data.augment import Normalisation
from pi_system.train.data.dataset import ImageSet
from pi_system.train.run import LoadedRun, RunDirectory

CALIBRATION_PICTURES = 256
"""Training pictures that the ranges are calibrated on. More: a surer tail estimate, a slower export."""


def accuracy_stated(accuracy: Accuracy | None) -> dict[str, Any]:
    """What an export says of ``accuracy``: error as a share of the spread, labels kept, on how many pictures."""
    if accuracy is None:
        return {}
    stated = {
        "logit_error": accuracy.error,
        "label_agreement": accuracy.agreement,
        "judged_pictures": accuracy.pictures,
    }
    replaced = accuracy.approximation
    if replaced is not None:
        stated |= {
            "replaced_functions": replaced.functions,
            "function_error": replaced.function_error,
            "approximation_error": replaced.error,
            "approximation_agreement": replaced.agreement,
        }
    return stated


def export_run(
    run: Path, folder: Path, options: QuantiseOptions | None = None, compare: CompareOptions | None = None
) -> dict[str, Any]:
    """Export the finished run ``run`` as the artifact ``folder``; returns what a user wants to know of it.

    ``labels_kept_by_scores`` is the share of calibration pictures whose label is that of their scores, too.
    ``compare``: None for the bits that the run was fine-tuned with (export/finetune.py), or all. What is returned is
    also ``card.json`` in the folder.

    Raises:
        InputError: the run is not finished, or its data set is gone.
        UnsupportedLayerError: the network has a layer that export does not support.
        ArtifactError: ``folder`` exists.
        ConfigError: the run was fine-tuned with the bits of another network.
    """
    directory = RunDirectory(run)
    loaded = directory.load()
    data = load_data(directory.data_config())
    compare = compare or CompareOptions(bits=directory.result().get("compare_bits", "full"))
    artifact, table = export_loaded(loaded, data, options, compare)
    return write_export(artifact, folder, calibration_of(data), table)


def write_export(
    artifact: Artifact, folder: Path, inputs: NDArray[np.float32], table: CompareTable | None
) -> dict[str, Any]:
    """Save ``artifact``, calibrated on ``inputs`` (N, C, H, W), with its card; returns that, as ``export_run`` does."""
    card = _card(artifact, inputs, table)
    save(artifact, folder, {"card.json": json.dumps(card, indent=1).encode()})
    return {"artifact": str(folder), **card}


def export_loaded(
    loaded: LoadedRun, data: DataSet, options: QuantiseOptions | None, compare: CompareOptions
) -> tuple[Artifact, CompareTable | None]:
    """The artifact of a loaded run, and how its compared bits were found; errors as ``export_run``."""
    inputs = calibration_of(data)
    artifact = export_network(loaded.network, loaded.preprocess, inputs, str(loaded.spec), options)
    return choose_compare_bits(artifact, inputs, compare, judged_of(data))


def calibration_of(data: DataSet) -> NDArray[np.float32]:
    """Training pictures that ranges are calibrated on, (N, C, H, W), preprocessed."""
    chosen = torch.linspace(0, len(data.train) - 1, CALIBRATION_PICTURES).long()
    return _inputs(data, data.train.subset(chosen))


def judged_of(data: DataSet, pictures: ImageSet | None = None) -> Judged:
    """Pictures of ``data``, preprocessed, with their classes; None for those of the validation."""
    chosen = data.validation if pictures is None else pictures
    return Judged(_inputs(data, chosen), chosen.labels.numpy())


def _inputs(data: DataSet, pictures: ImageSet) -> NDArray[np.float32]:
    normalise = Normalisation.of(data.preprocess, torch.device("cpu"))
    return np.asarray(normalise(pictures.images).contiguous().numpy(), dtype=np.float32)


def _card(artifact: Artifact, inputs: NDArray[np.float32], table: CompareTable | None) -> dict[str, Any]:
    graph, ring = artifact.public.graph, artifact.public.ring
    step_log2 = ring.score_step(graph.output)
    return {
        "network": artifact.public.name,
        "digest": artifact.public.digest,
        "relus": relu_count(graph),
        "relu_layers": relu_layers(graph),
        "macs": mac_count(graph),
        "ring_bits": ring.ring_bits,
        "comparison_bits": max(ring.comparison_bits.values(), default=0),
        "compare_bits": ring.compare_bits,
        "compare_table": table and table.as_json(),
        **accuracy_stated(artifact.public.accuracy),
        "overflow_log2": ring.overflow_log2,
        "truncation_log2": ring.truncation_log2,
        "score_step": 2.0**step_log2,
        "labels_kept_by_scores": labels_kept(float_logits(artifact, inputs), step_log2),
    }
