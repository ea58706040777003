"""Choice of ring and fraction bits for an exported network, from calibration pictures.

For each ring and way to truncate, cheap candidates (few comparison bits) come first and the first whose fixed-point
logits are close enough to the float ones on the calibration pictures is taken; of these that of the narrowest ring,
which computes and sends least (tests hold that against the cost model).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import Graph
from pi_system.artifact.model import Masks, Weights
from pi_system.errors import ConfigError
from pi_system.export.ranges import Ranges, calibrate
from pi_system.export.scales import ScaleOptions, ScalePlan, assign_scales
from pi_system.program.counts import mac_count
from pi_system.program.encoding import encode_input, logits_to_float, quantise_weights
from pi_system.program.fixed_point import FixedInterpreter

# (fraction bits of activations, bits of the weights' root mean square), from cheap to exact.
_CANDIDATES = ((8, 7), (8, 8), (9, 8), (9, 9), (10, 9), (10, 10), (11, 10), (12, 10), (12, 11), (13, 11), (14, 12))
# The most ring bits that homomorphic encryption takes, and how much less accurate a network may be to fit them: more
# bits need a dealer.
_TWO_PARTY_BITS = 59
_TWO_PARTY_SLACK = 10.0
# Rings with room for truncation pairs, beside 32 bits (four-byte carriers, truncation in ReLUs only), narrow
# first: a wider one is tried where nothing narrower will do.
_WIDE_RINGS = (48, 59, 64)
# A candidate's accuracy is judged on as many calibration pictures as this many multiply-accumulates allow: the
# integer oracle does about 3e9 a second. Upside: seconds for ResNet18; downside: that is 3 pictures there.
_JUDGED_MACS = 2_000_000_000


@dataclass(frozen=True, kw_only=True)
class QuantiseOptions:
    """How ring parameters are chosen.

    Attributes:
        ring_bits: l, None for the narrowest of 32 (truncation in ReLUs only), 48, 59 and 64.
        frac_bits: fraction bits of activations; None tries several.
        max_error: largest |fixed - float| of a logit that a candidate may have on the calibration pictures.
        margin_bits: room above the largest calibrated value.
        overflow_log2: bound asked for on the estimated chance that a picture leaves a range.
        truncate_before_relu: see ScaleOptions; needs more than 32 ring bits. None tries both, in ReLUs first.
    """

    ring_bits: int | None = None
    frac_bits: int | None = None
    max_error: float = 0.015
    margin_bits: int = 1
    overflow_log2: float = -20.0
    truncate_before_relu: bool | None = None


@dataclass(frozen=True)
class Quantised:
    """The chosen plan with the largest logit error it showed on the calibration pictures."""

    plan: ScalePlan
    max_error: float


def quantise(
    graph: Graph, masks: Masks, weights: Weights, pictures: NDArray[np.float32], options: QuantiseOptions
) -> Quantised:
    """Choose ring parameters for ``graph`` by calibration on ``pictures`` (N, C, H, W), preprocessed.

    For each way to truncate the first candidate within ``options.max_error`` is taken, or the one nearest to it.

    Returns:
        Of these, that of the narrowest ring among the accurate, or the most accurate if none is accurate enough.

    Raises:
        ConfigError: the network fits no candidate ring.
    """
    judged = pictures[: max(2, _JUDGED_MACS // max(1, mac_count(graph)))]
    judge = _Judge(graph, masks, weights, judged, calibrate(graph, masks, weights, pictures))
    found = [quantised for ladder in _ladders(options) for quantised in judge.climb(ladder, options.max_error)]
    if not found:
        raise ConfigError("ring_bits: the network's values fit no candidate ring; allow 64 bits or fewer frac_bits")
    two_party = [quantised for quantised in found if quantised.plan.ring.ring_bits <= _TWO_PARTY_BITS]
    for group, max_error in (
        (two_party, options.max_error),
        (two_party, options.max_error * _TWO_PARTY_SLACK),
        (found, options.max_error),
    ):
        accurate = [quantised for quantised in group if quantised.max_error <= max_error]
        if accurate:
            return min(accurate, key=lambda quantised: quantised.plan.ring.ring_bits)
    return min(found, key=lambda quantised: quantised.max_error)


def _ladders(options: QuantiseOptions) -> list[list[list[ScaleOptions]]]:
    """For each way to truncate the rings to try, narrow first, and for each ring the candidates from cheap to exact."""
    wide = _WIDE_RINGS if options.ring_bits is None else (options.ring_bits,)
    early = (False, True) if options.truncate_before_relu is None else (options.truncate_before_relu,)
    ladders = [[_candidates(ring_bits, before, options) for ring_bits in wide] for before in early]
    return ladders if options.ring_bits is not None else [[_candidates(32, False, options)], *ladders]


def _candidates(ring_bits: int, truncate_before_relu: bool, options: QuantiseOptions) -> list[ScaleOptions]:
    return [
        ScaleOptions(
            ring_bits=ring_bits,
            frac_bits=frac_bits,
            weight_bits=weight_bits,
            margin_bits=options.margin_bits,
            overflow_log2=options.overflow_log2,
            truncate_before_relu=truncate_before_relu and ring_bits > 32,
        )
        for frac_bits, weight_bits in _CANDIDATES
        if options.frac_bits in (None, frac_bits)
    ]


@dataclass(frozen=True)
class _Judge:
    graph: Graph
    masks: Masks
    weights: Weights
    pictures: NDArray[np.float32]
    ranges: Ranges

    def climb(self, ladder: list[list[ScaleOptions]], max_error: float) -> list[Quantised]:
        """What each ring of a ladder gives, up to the first ring that is accurate enough."""
        found: list[Quantised] = []
        for candidates in ladder:
            quantised = self.choose(candidates, max_error)
            if quantised is not None:
                found.append(quantised)
                if quantised.max_error <= max_error:
                    break
        return found

    def choose(self, candidates: list[ScaleOptions], max_error: float) -> Quantised | None:
        """The first accurate candidate, or the most accurate; None if the network fits none."""
        best: Quantised | None = None
        for candidate in candidates:
            quantised = self.try_out(candidate)
            if quantised is not None and (best is None or quantised.max_error < best.max_error):
                best = quantised
            if best is not None and best.max_error <= max_error:
                break
        return best

    def try_out(self, candidate: ScaleOptions) -> Quantised | None:
        plan = assign_scales(self.graph, self.weights, self.ranges, candidate)
        return None if plan is None else Quantised(plan, self._error(plan))

    def _error(self, plan: ScalePlan) -> float:
        integers = quantise_weights(plan.graph, plan.ring, self.weights)
        encoded = encode_input(self.pictures, plan.graph, plan.ring)
        logits = FixedInterpreter(plan.ring, self.masks, integers).run(plan.graph, encoded)
        difference = logits_to_float(logits, plan.graph, plan.ring) - self.ranges.logits[: len(self.pictures)]
        return float(np.abs(difference).max())
