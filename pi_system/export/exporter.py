"""torch module to artifact: trace, rewrite, calibrate, check."""

import logging

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pi_system.artifact.graph import Graph
from pi_system.artifact.model import Accuracy, Artifact
from pi_system.artifact.preprocess import Preprocess
from pi_system.artifact.shapes import check_graph
from pi_system.errors import InexactError, InputError, UnsupportedLayerError
from pi_system.export.draft import Draft
from pi_system.export.equalise import channel_factors, scaled_weights
from pi_system.export.judge import Quantised
from pi_system.export.merge import merge_linear_layers, remove_dead_nodes, share_equal_layers, sum_pools
from pi_system.export.outputs import two_logits, two_outputs
from pi_system.export.quantise import QuantiseOptions, quantise
from pi_system.export.ranges import calibrate
from pi_system.export.rounding import rounded_weights
from pi_system.export.score_step import choose_score_step
from pi_system.export.trace import copied, finished, outputs_of, trace
from pi_system.program.encoding import quantise_weights, weight_norm_bits
from pi_system.program.float_point import FloatInterpreter

# Pictures on which the lowered graph is compared with the module itself, and how far logits may differ, as a share of
# the largest: folding and merging change the order of float32 sums, nothing else.
_COMPARED = 8
_TOLERANCE = 1e-4
# Fewer labels of calibration pictures than this share are worth a warning, however small the error.
_LABELS_KEPT = 0.99

_log = logging.getLogger(__name__)


def lower(module: nn.Module, input_shape: tuple[int, ...], *, binary: bool = False) -> Draft:
    """Trace ``module`` for pictures (C, H, W) and rewrite it: normalisation folded, dropped ReLUs gone, layers merged.

    ``binary``: its one logit becomes two.

    Raises:
        UnsupportedLayerError: naming a layer that export does not support.
    """
    draft = trace(module, input_shape)
    if binary:
        two_logits(draft)
    remove_dead_nodes(draft)
    share_equal_layers(draft)
    merge_linear_layers(draft)
    remove_dead_nodes(draft)
    sum_pools(draft)
    return draft


def _check_equal(module: nn.Module, draft: Draft, pictures: NDArray[np.float32], binary: bool) -> None:
    """Does the lowered graph compute what the module does; a trace cannot see every trick of a module's code."""
    batch = torch.from_numpy(np.ascontiguousarray(pictures))
    found = finished(FloatInterpreter(draft.masks, draft.float_weights()).run(draft.graph(), batch), draft.finals)
    with torch.no_grad():
        expected = outputs_of(copied(module)(batch.clone()))
    if binary:
        expected = two_outputs(expected, draft)
    error = float((found - expected).abs().max())
    allowed = _TOLERANCE * (float(expected.abs().max()) or 1.0)
    if not error <= allowed:
        raise UnsupportedLayerError(
            f"{type(module).__name__}: expected the exported graph's logits within {allowed:.2g} of the module's, "
            f"found {error:.2g}"
        )


def export_network(
    module: nn.Module,
    preprocess: Preprocess,
    pictures: NDArray[np.float32],
    name: str,
    options: QuantiseOptions | None = None,
    *,
    binary: bool = False,
) -> Artifact:
    """Export a trained network; its ReLU map is that of its MaskedReLU modules.

    Args:
        module: the network, (N, C, H, W) to logits (N, classes); it is copied, not changed.
        preprocess: of its pictures.
        pictures: calibration pictures (N, C, H, W), preprocessed, never of the test set. 64 are plenty.
        name: the network's specification.
        options: how ring parameters are chosen.
        binary: the network has one logit, or its sigmoid, which becomes the second of two classes; the first has zero.

    Raises:
        UnsupportedLayerError: naming a layer that export does not support, or the traced graph is not the module.
        InputError: the calibration pictures have another shape.
        ConfigError: the network's values fit no ring.
        InexactError: they fit none that is exact enough.
    """
    shape = (preprocess.channels, preprocess.height, preprocess.width)
    if pictures.ndim != 4 or len(pictures) == 0 or pictures.shape[1:] != shape:
        raise InputError(f"calibration pictures: expected (N, {shape}), found {pictures.shape}")
    options = options or QuantiseOptions()
    draft = lower(module, shape, binary=binary)
    graph: Graph = draft.graph()
    check_graph(graph)
    weights = draft.float_weights()
    _check_equal(module, draft, pictures[:_COMPARED], binary)
    ranges = calibrate(graph, draft.masks, weights, pictures)
    _warn_of_chance(name, ranges.logits)
    factors = channel_factors(graph, ranges, weights)
    weights = scaled_weights(graph, weights, factors)
    ranges = ranges.scaled(graph, factors)
    quantised = quantise(graph, draft.masks, weights, pictures, options, ranges)
    _check_exact(name, quantised, options)
    plan = quantised.plan
    rounded = rounded_weights(plan.graph, plan.ring, weights, ranges)
    integers = quantise_weights(plan.graph, plan.ring, rounded)
    norm_bits = weight_norm_bits(value for key, value in integers.items() if key.endswith(".weight"))
    step_log2 = choose_score_step(plan.ring, plan.graph.output, quantised.max_error)
    return Artifact.create(
        name=name,
        graph=plan.graph,
        ring=plan.ring.model_copy(update={"weight_norm_bits": norm_bits, "score_step_log2": step_log2}),
        preprocess=preprocess,
        masks=draft.masks,
        weights=rounded,
        accuracy=Accuracy(pictures=quantised.pictures, error=quantised.relative_error, agreement=quantised.agreement),
    )


def _check_exact(name: str, found: Quantised, options: QuantiseOptions) -> None:
    exact = found.within(options.max_error)
    if exact and found.agreement >= _LABELS_KEPT:
        return
    what = (
        f"{name}: expected fixed-point logits within {100 * options.max_error:.2g} % of their spread, found "
        f"{100 * found.relative_error:.2g} %, {100 * found.agreement:.4g} % of {found.pictures} labels kept"
    )
    what += f", and a value out of its range ({found.left})" if found.left else ""
    if not exact and not options.allow_inexact:
        raise InexactError(
            f"{what}; calibrate on more or more typical pictures, allow more (max_error), or take what comes nearest "
            "all the same (allow_inexact)"
        )
    _log.warning("%s", what)


def _warn_of_chance(name: str, logits: NDArray[np.float64]) -> None:
    labels = logits.argmax(axis=1)
    if logits.shape[1] > 1 and len(labels) >= _COMPARED and (labels == labels[0]).all():
        _log.warning(
            "%s: all %d calibration pictures get label %d: is it trained, are they preprocessed as in training?",
            name,
            len(labels),
            int(labels[0]),
        )
