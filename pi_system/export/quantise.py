"""Choice of ring and fraction bits for an exported network, from calibration pictures.

For each ring and way to truncate, cheap candidates (few comparison bits) come first and the first whose fixed-point
logits are close enough to the float ones on the calibration pictures is taken; of these that of the narrowest ring,
which computes and sends least (tests hold that against the cost model).
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf, log2
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from pi_system.artifact.graph import Graph
from pi_system.artifact.model import Masks, Weights
from pi_system.errors import ConfigError
from pi_system.export.judge import Judge, Quantised
from pi_system.export.ranges import Ranges, calibrate
from pi_system.export.scales import ScaleOptions, ScalePlan
from pi_system.program.counts import mac_count

# (fraction bits of activations, bits of the weights' root mean square), from cheap to exact.
_CANDIDATES = (
    (8, 7),
    (8, 8),
    (9, 8),
    (9, 9),
    (10, 9),
    (10, 10),
    (11, 10),
    (12, 10),
    (12, 11),
    (13, 11),
    (14, 12),
    (14, 13),
    (15, 14),
)
# Rings with room for truncation pairs, beside 32 bits (four-byte carriers, truncation in ReLUs only), narrow
# first: a wider one is tried where nothing narrower will do.
_WIDE_RINGS = (48, 59, 64)
# A candidate's accuracy is judged on as many calibration pictures as this many multiply-accumulates allow, 2 at least,
# and what is stated of the chosen one on the first number of pictures if these allow it, else on the second. Upside:
# seconds for ResNet18, minutes for networks at 224 x 224; downside: a handful of pictures choose.
_JUDGED_MACS = 2_000_000_000
_STATED_MACS = 20_000_000_000
_STATED_PICTURES = (64, 50)
# What a candidate's error on these few pictures may be, as a share of what the stated one may.
_AIM = 0.5
_LIMITS = (("ring_bits", 8, 64), ("frac_bits", 1, 24), ("margin_bits", 0, 16))
_RAREST = -60.0  # of overflow_log2: of rarer pictures the fitted tails tell nothing


@dataclass(frozen=True, kw_only=True)
class QuantiseOptions:
    """How ring parameters are chosen.

    Attributes:
        ring_bits: l, None for the narrowest of 32 (truncation in ReLUs only), 48, 59 and 64.
        frac_bits: fraction bits of activations; None tries several.
        max_error: largest ``|fixed - float|`` of a logit on the calibration pictures, as a share of how far logits
            of its output are apart (nearness.py). The search, judged on few pictures, aims at half of it.
        allow_inexact: where nothing is as exact, export what comes nearest instead of raising InexactError.
        margin_bits: room above the largest calibrated value.
        overflow_log2: bound asked for on the estimated chance that a picture leaves a range, from -60 to 0.
        truncate_before_relu: see ScaleOptions; needs more than 32 ring bits. None tries both, in ReLUs first.
    """

    ring_bits: int | None = None
    frac_bits: int | None = None
    max_error: float = 0.02
    allow_inexact: bool = False
    margin_bits: int = 1
    overflow_log2: float = -20.0
    truncate_before_relu: bool | None = None

    def __post_init__(self) -> None:
        """Raises ConfigError: a value is none."""
        for name, least, most in _LIMITS:
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and least <= value <= most):
                raise ConfigError(f"{name}: expected from {least} to {most}, found {value!r:.40}")
        if not (isinstance(self.max_error, Real) and self.max_error >= 0):
            raise ConfigError(f"max_error: expected a share of the spread of logits, found {self.max_error!r:.40}")
        if not (isinstance(self.overflow_log2, Real) and _RAREST <= self.overflow_log2 <= 0):
            raise ConfigError(f"overflow_log2: expected from {_RAREST:g} to 0, found {self.overflow_log2!r:.40}")


def quantise(
    graph: Graph,
    masks: Masks,
    weights: Weights,
    pictures: NDArray[np.float32],
    options: QuantiseOptions,
    ranges: Ranges | None = None,
) -> Quantised:
    """Choose ring parameters for ``graph`` by calibration on ``pictures`` (N, C, H, W), preprocessed.

    For each way to truncate the first candidate that is exact enough is taken, or the one nearest to it.

    Args:
        graph: the network.
        masks: its ReLU map.
        weights: its weights.
        pictures: calibration pictures.
        options: how to choose.
        ranges: of these pictures, where they are known.

    Returns:
        Of these, that of the narrowest ring among the accurate, or the most accurate if none is accurate enough.

    Raises:
        ConfigError: the network fits no candidate ring.
    """
    macs = max(1, mac_count(graph))
    judged = max(2, _JUDGED_MACS // macs)
    stated = max(judged, _STATED_PICTURES[0] if _STATED_PICTURES[0] * macs <= _STATED_MACS else _STATED_PICTURES[1])
    judge = Judge(graph, masks, weights, pictures, ranges or calibrate(graph, masks, weights, pictures))
    search = _Search(judge, judged, options, _AIM * options.max_error)
    best = search.best()
    found = judge.measured(best.plan, stated)
    if not search.accurate(best) or found.within(options.max_error):
        return found
    # The pictures that judged were kinder than others: more judge, as much more strictly as the error was too large.
    again = replace(search, judged=4 * judged, seen={})
    aim = again.measured(best.plan).relative_error * min(1.0, options.max_error / (found.relative_error or 1.0))
    for stricter in (aim, 0.0):
        found = judge.measured(replace(again, aim=stricter).best().plan, stated)
        if found.within(options.max_error):
            break
    return found


def _no_ring(options: QuantiseOptions) -> str:
    tried = f"{options.ring_bits or 64} bits"
    wider = f"more ring_bits than {options.ring_bits}, " if options.ring_bits and options.ring_bits < 64 else ""
    return (
        f"ring_bits: expected values that a ring of {tried} holds, found larger ones; take {wider}fewer frac_bits, "
        "or a network whose values stay smaller, as with fewer polynomials one after the other"
    )


def _ladders(options: QuantiseOptions) -> list[list[list[ScaleOptions]]]:
    """For each way to truncate the rings to try, narrow first, and for each ring the candidates from cheap to exact."""
    wide = _WIDE_RINGS if options.ring_bits is None else (options.ring_bits,)
    early = (False, True) if options.truncate_before_relu is None else (options.truncate_before_relu,)
    ladders = [[_candidates(ring_bits, before, False, options) for ring_bits in wide] for before in early]
    if False in early:
        ladders.append([_candidates(ring_bits, False, True, options) for ring_bits in wide])
    narrow = [[_candidates(32, False, False, options)]]
    return ladders if options.ring_bits is not None else [*narrow, *ladders]


def _candidates(ring_bits: int, early: bool, carry: bool, options: QuantiseOptions) -> list[ScaleOptions]:
    return [
        ScaleOptions(
            ring_bits=ring_bits,
            frac_bits=frac_bits,
            weight_bits=weight_bits,
            margin_bits=options.margin_bits,
            overflow_log2=options.overflow_log2,
            truncate_before_relu=early and ring_bits > 32,
            carry=carry,
        )
        for frac_bits, weight_bits in _bits(options.frac_bits)
    ]


def _bits(frac_bits: int | None) -> Sequence[tuple[int, int]]:
    """The candidates with these fraction bits of activations; outside of the table with the weights at its end."""
    if frac_bits is None:
        return _CANDIDATES
    ends = [(frac_bits, _CANDIDATES[0 if frac_bits < _CANDIDATES[0][0] else -1][1])]
    return [each for each in _CANDIDATES if each[0] == frac_bits] or ends


@dataclass(frozen=True)
class _Search:
    judge: Judge
    judged: int
    options: QuantiseOptions
    aim: float
    seen: dict[str, Quantised] = field(default_factory=dict)

    def accurate(self, quantised: Quantised) -> bool:
        """Whether the error is within what the search aims at."""
        return quantised.within(self.aim)

    def best(self) -> Quantised:
        """Of the accurate the first of the narrowest ring; else the most accurate. Raises ConfigError: nothing fits."""
        found = self.found()
        if not found:
            raise ConfigError(_no_ring(self.options))
        if accurate := [quantised for quantised in found if self.accurate(quantised)]:
            return min(accurate, key=lambda quantised: quantised.plan.ring.ring_bits)
        return min(found, key=_badness)

    def found(self) -> list[Quantised]:
        """What the ladders give. After an accurate one only narrower rings are tried: ``best`` takes no other."""
        found: list[Quantised] = []
        for ladder in _ladders(self.options):
            narrowest = min((each.plan.ring.ring_bits for each in found if self.accurate(each)), default=inf)
            found += self.climb([rung for rung in ladder if all(each.ring_bits < narrowest for each in rung)])
        return found

    def climb(self, ladder: list[list[ScaleOptions]]) -> Iterator[Quantised]:
        """What each ring of a ladder gives, up to the first ring that is accurate enough."""
        for candidates in ladder:
            quantised = self.choose(candidates)
            if quantised is not None:
                yield quantised
                if self.accurate(quantised):
                    return

    def choose(self, candidates: list[ScaleOptions]) -> Quantised | None:
        """The first accurate candidate, or the most accurate; None if the network fits none.

        A candidate whose error is many times too large lets those be skipped that have too few bits to mend it.
        """
        plans = filter(None, map(self.judge.plan, candidates))  # made as they are asked for
        plan = next(plans, None)
        best: Quantised | None = None
        while plan is not None:
            found = self.measured(plan)
            best = found if best is None or _badness(found) < _badness(best) else best
            if self.accurate(found):
                break
            plan = _last(islice(plans, _skipped(found.relative_error, self.aim)))
        return best

    def measured(self, plan: ScalePlan) -> Quantised:
        """``plan`` on the pictures that judge, once: ways to truncate differ only where something is truncated."""
        key = plan.ring.model_dump_json()
        if key not in self.seen:
            self.seen[key] = self.judge.measured(plan, self.judged)
        return self.seen[key]


def _badness(quantised: Quantised) -> tuple[bool, float]:
    return bool(quantised.left), quantised.relative_error


def _last(plans: Iterable[ScalePlan]) -> ScalePlan | None:
    """The last one; None of none."""
    return next(iter(deque(plans, maxlen=1)), None)


def _skipped(error: float, allowed: float) -> int:
    """How many candidates on the next is: every second has a bit more, of activations and of weights."""
    return max(1, int(2 * log2(error / allowed)) - 2) if 0 < allowed < error < inf else 1
