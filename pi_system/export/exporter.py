"""torch module to artifact: trace, rewrite, calibrate, check."""

import logging
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pi_system.artifact.graph import Graph
from pi_system.artifact.model import Accuracy, Approximation, Artifact
from pi_system.artifact.preprocess import Preprocess
from pi_system.artifact.ring_config import RingConfig
from pi_system.artifact.shapes import check_graph
from pi_system.errors import InexactError, InputError
from pi_system.export.draft import Draft
from pi_system.export.equalise import channel_factors, scaled_weights
from pi_system.export.faithful import check_graph_is_module
from pi_system.export.judge import Quantised
from pi_system.export.merge import merge_linear_layers, remove_dead_nodes, share_equal_layers, sum_pools
from pi_system.export.outputs import two_logits
from pi_system.export.quantise import QuantiseOptions, quantise
from pi_system.export.ranges import calibrate
from pi_system.export.rounding import rounded_weights
from pi_system.export.score_step import choose_score_step
from pi_system.export.trace import Smooth, trace
from pi_system.program.encoding import quantise_weights, weight_norm_bits

# So many calibration pictures of one label are worth a warning.
_MANY = 8
_FEW = 16  # of fewer calibration pictures ranges are guessed
# Fewer labels of calibration pictures than this share are worth a warning, however small the error.
_LABELS_KEPT = 0.99

# Functions at the end that are no softmax of all logits, as the scores of answers are.
_BY_ELEMENT = ("sigmoid", "log_sigmoid")

_log = logging.getLogger(__name__)


def lower(
    module: nn.Module, input_shape: tuple[int, ...], smooth: Smooth | None = None, *, binary: bool = False
) -> Draft:
    """Trace ``module`` for pictures (C, H, W) and rewrite it: normalisation folded, dropped ReLUs gone, layers merged.

    ``smooth``: how smooth functions are replaced, None for refusals. ``binary``: its one logit becomes two.

    Raises:
        UnsupportedLayerError: naming a layer that export does not support.
    """
    draft = trace(module, input_shape, smooth)
    if binary:
        two_logits(draft)
    remove_dead_nodes(draft)
    share_equal_layers(draft)
    merge_linear_layers(draft)
    remove_dead_nodes(draft)
    sum_pools(draft)
    return draft


def export_network(
    module: nn.Module,
    preprocess: Preprocess,
    pictures: NDArray[np.float32],
    name: str,
    options: QuantiseOptions | None = None,
    *,
    binary: bool = False,
    approximate: float | None = None,
) -> Artifact:
    """Export a trained network; its ReLU map is that of its MaskedReLU modules.

    Args:
        module: the network, (N, C, H, W) to logits (N, classes); it is copied, not changed.
        preprocess: of its pictures.
        pictures: calibration pictures (N, C, H, W), preprocessed, never of the test set. 64 are plenty.
        name: the network's specification.
        options: how ring parameters are chosen.
        binary: the network has one logit, or its sigmoid, which becomes the second of two classes; the first has zero.
        approximate: how far straight pieces may be from smooth functions (GELU, SiLU, sigmoid), in whose place they
            stand; None: such functions are refused.

    Raises:
        UnsupportedLayerError: naming a layer that export does not support, or the traced graph is not the module.
        InputError: the calibration pictures have another shape.
        ConfigError: the network's values fit no ring.
        InexactError: they fit none that is exact enough.
    """
    shape = _shape_of(pictures, preprocess)
    options = options or QuantiseOptions()
    smooth = None if approximate is None else Smooth(pictures, approximate)
    draft = lower(module, shape, smooth, binary=binary)
    graph: Graph = draft.graph()
    check_graph(graph)
    weights = draft.float_weights()
    approximation = check_graph_is_module(module, draft, pictures, name, binary=binary)
    ranges = calibrate(graph, draft.masks, weights, pictures, [size for size, _ in draft.finals])
    if len(draft.finals) == 1:
        _warn_of_chance(name, ranges.logits)
    _warn_of_few(name, len(pictures))
    _say_what_is_left_out(name, draft)
    factors = channel_factors(graph, ranges, weights)
    weights = scaled_weights(graph, weights, factors)
    ranges = ranges.scaled(graph, factors)
    quantised = quantise(graph, draft.masks, weights, pictures, options, ranges)
    _check_exact(name, quantised, options)
    plan = quantised.plan
    rounded = rounded_weights(plan.graph, plan.ring, weights, ranges)
    return Artifact.create(
        name=name,
        graph=plan.graph,
        ring=_stated_ring(quantised, rounded),
        preprocess=preprocess,
        masks=draft.masks,
        weights=rounded,
        accuracy=_stated(quantised, approximation),
    )


def _shape_of(pictures: NDArray[np.float32], preprocess: Preprocess) -> tuple[int, int, int]:
    shape = (preprocess.channels, preprocess.height, preprocess.width)
    if pictures.ndim != 4 or len(pictures) == 0 or pictures.shape[1:] != shape:
        raise InputError(f"calibration pictures: expected (N, {shape}), found {pictures.shape}")
    return shape


def _stated(found: Quantised, approximation: Approximation | None) -> Accuracy:
    error, kept = found.relative_error, found.agreement
    return Accuracy(pictures=found.pictures, error=error, agreement=kept, approximation=approximation)


def _stated_ring(found: Quantised, rounded: Mapping[str, NDArray[np.float32]]) -> RingConfig:
    """The plan's, with what the weights' sums and the logits' error ask of protocols."""
    plan = found.plan
    integers = quantise_weights(plan.graph, plan.ring, rounded)
    norm_bits = weight_norm_bits(value for key, value in integers.items() if key.endswith(".weight"))
    step_log2 = choose_score_step(plan.ring, plan.graph.output, found.max_error)
    return plan.ring.model_copy(update={"weight_norm_bits": norm_bits, "score_step_log2": step_log2})


def _check_exact(name: str, found: Quantised, options: QuantiseOptions) -> None:
    exact = found.within(options.max_error)
    if exact and found.agreement >= _LABELS_KEPT:
        return
    kept = f"{100 * found.agreement:.4g} % of {found.pictures} labels kept"
    if exact:
        _log.warning("%s: expected 99 %% of labels or more, found %s; a smaller max_error keeps more", name, kept)
        return
    what = (
        f"{name}: expected fixed-point logits within {100 * options.max_error:.2g} % of their spread, found "
        f"{100 * found.relative_error:.2g} %, {kept}"
    )
    what += f", and a value out of its range ({found.left})" if found.left else ""
    if not options.allow_inexact:
        raise InexactError(
            f"{what}; calibrate on more or more typical pictures, allow more (max_error), or take what comes nearest "
            "all the same (allow_inexact)"
        )
    _log.warning("%s", what)


def _say_what_is_left_out(name: str, draft: Draft) -> None:
    size, final = draft.finals[0]
    if len(draft.finals) == 1 and size == 1 and final:
        _log.warning("%s: its value is that before the %s at its end, which is left out", name, final)
        return
    if len(draft.finals) > 1 or final in _BY_ELEMENT:
        for left in sorted({final for _, final in draft.finals if final}):
            _log.warning("%s: logits are those before the %s at its end, which is left out: apply it", name, left)


def _warn_of_few(name: str, pictures: int) -> None:
    if pictures < _FEW:
        _log.warning("%s: calibrated on %d inputs, which say little of ranges; take 64 or more", name, pictures)


def _warn_of_chance(name: str, logits: NDArray[np.float64]) -> None:
    labels = logits.argmax(axis=1)
    if logits.shape[1] > 1 and len(labels) >= _MANY and (labels == labels[0]).all():
        _log.warning(
            "%s: all %d calibration pictures get label %d: is it trained, are they preprocessed as in training?",
            name,
            len(labels),
            int(labels[0]),
        )
