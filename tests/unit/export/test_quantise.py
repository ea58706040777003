"""Scales, rings and steps of scores that an export chooses."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from random_networks import random_small_artifact
from torch import nn

from pi_system.artifact.graph import Graph, Node, Relu
from pi_system.artifact.ring_check import check_ring
from pi_system.artifact.ring_config import RingConfig
from pi_system.channel.link import parse_link
from pi_system.cost import default_calibration
from pi_system.cost.predict import online_ms
from pi_system.errors import ConfigError
from pi_system.export.exporter import lower
from pi_system.export.judge import Judge, Quantised
from pi_system.export.quantise import QuantiseOptions, _Search, quantise
from pi_system.export.random import random_artifact, random_pictures, randomise
from pi_system.export.ranges import calibrate, integer_bits, sum_log2, tail_log2
from pi_system.export.scales import MAX_TRUNCATION_LOG2, ScaleOptions, assign_scales
from pi_system.export.score_step import NOISE_STEPS, choose_score_step, labels_kept
from pi_system.program.encoding import encode_input, quantise_weights
from pi_system.program.fixed_point import FixedInterpreter
from pi_system.program.float_point import FloatInterpreter
from pi_system.train.relu import MaskedReLU

SHAPE = (3, 8, 8)


def network(active: float, middle: bool = True) -> nn.Module:
    """Three convolutions; the first ReLU has a share ``active`` of its positions, the second may be missing."""
    relu = MaskedReLU((6, 8, 8), stage=1, block=0)
    relu.set_mask(torch.from_numpy(np.random.default_rng(0).random((6, 8, 8)) < active))
    layers = [nn.Conv2d(3, 6, 3, padding=1), relu, nn.Conv2d(6, 6, 3, padding=1)]
    layers += [nn.ReLU()] * middle
    layers += [
        nn.Conv2d(6, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ]
    return randomise(nn.Sequential(*layers), SHAPE, 1)


def quantised(module: nn.Module, pictures: int = 16, **options: object) -> tuple[Quantised, Graph]:
    draft = lower(module, SHAPE)
    graph = draft.graph()
    settings = QuantiseOptions(**options)  # type: ignore[arg-type]
    found = quantise(graph, draft.masks, draft.float_weights(), random_pictures(SHAPE, pictures, 5), settings)
    check_ring(found.plan.graph, found.plan.ring)
    return found, found.plan.graph


def test_all_relus_kept_needs_no_local_truncation_and_32_bits() -> None:
    found, graph = quantised(network(1.0))
    assert found.plan.ring.ring_bits == 32
    assert not any(node.op == "truncate" for node in graph)
    assert found.plan.ring.truncation_log2 == -1000.0
    assert found.relative_error <= 0.01
    assert max(found.plan.ring.comparison_bits.values()) <= 32


def test_a_short_way_without_relu_carries_its_scale_in_32_bits() -> None:
    found, graph = quantised(network(0.5))
    ring = found.plan.ring
    (masked,) = [node for node in graph.relus() if node.masked]
    assert ring.ring_bits == 32
    assert ring.frac_bits[masked.name] == ring.frac_bits[masked.inputs[0]]
    assert ring.truncation_log2 == -1000.0


def long_way(dropped: bool) -> nn.Module:
    """Four convolutions, the middle ones with half of their ReLUs or none: no 32-bit ring carries their scales."""
    layers: list[nn.Module] = []
    for width in (3, 6, 6, 6):
        layers.append(nn.Conv2d(width, 6, 3, padding=1))
        if not dropped:
            relu = MaskedReLU((6, 8, 8), stage=1, block=0)
            relu.set_mask(torch.from_numpy(np.random.default_rng(width).random((6, 8, 8)) < 0.5))
            layers.append(relu)
    return randomise(nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(384, 3)), SHAPE, 1)


@pytest.mark.parametrize("dropped", [False, True])
def test_long_ways_without_relu_need_a_wide_ring_and_rarely_fail(dropped: bool) -> None:
    found, graph = quantised(long_way(dropped), truncate_before_relu=False)
    ring = found.plan.ring
    assert ring.ring_bits in (48, 59)
    assert -1000.0 < ring.truncation_log2 <= MAX_TRUNCATION_LOG2
    assert any(node.op == "truncate" for node in graph) == dropped
    assert found.relative_error <= 0.01


def test_truncation_fails_as_rarely_as_stated_on_other_pictures() -> None:
    module = network(0.3, middle=False)
    found, graph = quantised(module, ring_bits=64, truncate_before_relu=False)
    ring, draft, chances = found.plan.ring, lower(module, SHAPE), np.zeros(32)
    ((relu, rest),) = [(n, prod(n.shape) - n.active) for n in graph.relus() if n.masked]
    (late,) = [node for node in graph if node.op == "truncate"]
    wanted = {
        name: (count, ring.frac_bits[name], ring.frac_bits[name] - ring.frac_bits[to])
        for name, to, count in ((late.inputs[0], late.name, prod(late.shape)), (relu.inputs[0], relu.name, rest))
    }

    def observe(node: Node, value: torch.Tensor) -> None:
        if node.name in wanted:
            count, frac_bits, shift = wanted[node.name]
            sums = value.abs().flatten(1).sum(dim=1).numpy() * 2.0**frac_bits
            chances[:] += (sums + count * 2.0**shift) / 2.0**ring.ring_bits

    pictures = torch.from_numpy(random_pictures(SHAPE, 32, 77))
    FloatInterpreter(draft.masks, draft.float_weights(), observe=observe).run(draft.graph(), pictures)
    assert np.log2(chances.max()) <= ring.truncation_log2 <= np.log2(chances.max()) + 2


def test_what_is_truncated_before_a_relu_and_again_in_it_is_counted() -> None:
    """A pool behind a ReLU asks for fewer bits of it than the truncation before it left."""
    relu = MaskedReLU((6, 8, 8), stage=1, block=0)
    relu.set_mask(torch.from_numpy(np.random.default_rng(0).random((6, 8, 8)) < 0.3))
    layers = [nn.Conv2d(3, 6, 3, padding=1), relu, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)]
    found, graph = quantised(
        randomise(nn.Sequential(*layers), SHAPE, 1), ring_bits=59, truncate_before_relu=True, frac_bits=10
    )
    (masked,) = graph.relus()
    ring, (before,) = found.plan.ring, masked.inputs
    assert before.endswith(".truncate")
    assert ring.frac_bits[masked.name] < ring.frac_bits[before]
    assert -1000.0 < ring.truncation_log2 <= MAX_TRUNCATION_LOG2


def test_truncating_before_the_comparison_narrows_it() -> None:
    wide, _ = quantised(network(0.5), ring_bits=64, frac_bits=11, truncate_before_relu=False)
    narrow, graph = quantised(network(0.5), ring_bits=64, frac_bits=11, truncate_before_relu=True)
    assert sum(node.op == "truncate" for node in graph) >= 3
    assert max(narrow.plan.ring.comparison_bits.values()) <= 18 < min(wide.plan.ring.comparison_bits.values())


def test_other_pictures_stay_in_the_calibrated_ranges() -> None:
    module = network(0.5)
    found, graph = quantised(module)
    draft, ring = lower(module, SHAPE), found.plan.ring
    integers = quantise_weights(graph, ring, draft.float_weights())
    interpreter = FixedInterpreter(ring, draft.masks, integers, check_range=True)
    interpreter.run(graph, encode_input(random_pictures(SHAPE, 200, 77), graph, ring))


def test_weights_use_at_most_sixteen_bits() -> None:
    module = network(1.0)
    found, graph = quantised(module, max_error=0.0)
    integers = quantise_weights(graph, found.plan.ring, lower(module, SHAPE).float_weights())
    assert max(int(np.abs(v).max()) for k, v in integers.items() if k.endswith(".weight")) < 1 << 15


def test_the_nearest_plan_is_taken_if_none_is_near_enough() -> None:
    found, _ = quantised(network(1.0), max_error=0.0)
    assert 0.0 < found.max_error < 0.01


def test_logits_leave_the_ring_a_bit_for_the_argmax() -> None:
    found, graph = quantised(network(1.0))
    ring = found.plan.ring
    draft = lower(network(1.0), SHAPE)
    ranges = calibrate(draft.graph(), draft.masks, draft.float_weights(), random_pictures(SHAPE, 16, 5))
    top = float(ranges.channels[graph.output].max())
    assert ring.logit_bits < 32
    assert top * 2 ** ring.frac_bits[graph.output] < 2 ** (ring.logit_bits - 1)


@pytest.mark.parametrize("backend", ["fss", "gmw"])
@pytest.mark.parametrize("link", ["lan", "wan"])
def test_the_narrowest_accurate_ring_is_taken_and_is_the_fastest(backend: str, link: str) -> None:
    options = QuantiseOptions(), QuantiseOptions(ring_bits=59, truncate_before_relu=True), QuantiseOptions(ring_bits=59)
    artifacts = [random_artifact(network(1.0), SHAPE, 1, "order", each) for each in options]
    assert [each.public.ring.ring_bits for each in artifacts] == [32, 59, 59]
    predicted = [online_ms(each, backend, parse_link(link), default_calibration()) for each in artifacts]
    assert predicted[0] == min(predicted)


@pytest.mark.parametrize("frac_bits", [4, 11, 20])
def test_fraction_bits_are_those_asked_for(frac_bits: int) -> None:
    found, graph = quantised(network(1.0), frac_bits=frac_bits)
    relus = [node.name for node in graph if isinstance(node, Relu)]
    assert max(found.plan.ring.frac_bits[name] for name in relus) == frac_bits


def test_network_too_large_for_the_ring_is_refused() -> None:
    with pytest.raises(ConfigError, match="ring_bits"):
        quantised(network(1.0), ring_bits=10)


def test_tail_estimate_matches_drawn_gumbel_peaks() -> None:
    rng = np.random.default_rng(2)
    peaks, fresh = rng.gumbel(5.0, 0.4, 500), rng.gumbel(5.0, 0.4, 200_000)
    for limit in (6.5, 7.0, 7.5):
        assert tail_log2(peaks, limit) == pytest.approx(np.log2((fresh > limit).mean()), abs=1.0)


def test_a_tail_of_channels_is_that_of_any_of_them() -> None:
    """Each scaled to one peak by what it showed: the largest of all is no longer a peak of many values."""
    rng = np.random.default_rng(4)
    drawn, fresh = rng.gumbel(5.0, 1.0, (32, 200)), rng.gumbel(5.0, 1.0, (20_000, 200))
    drawn, fresh = drawn / drawn.max(axis=0), fresh / drawn.max(axis=0)
    for limit in (1.3, 1.5):
        found = np.log2((fresh.max(axis=1) > limit).mean())
        assert tail_log2(drawn, limit) == pytest.approx(found, abs=2.0)
        assert tail_log2(drawn.max(axis=1), limit) < found - 6
    assert tail_log2(np.zeros((4, 3)), 1.0) == -1000.0


def test_integer_bits_leave_the_margin_and_bound_the_tail() -> None:
    peaks = np.array([3.0, 3.5, 3.9])
    assert integer_bits(peaks, 0, 0.0) == 2
    assert integer_bits(peaks, 1, 0.0) == 3
    assert integer_bits(peaks, 0, -500.0) > 3
    assert integer_bits(np.zeros(3), 1, -20.0) == 0
    assert integer_bits(np.array([0.1]), 1, 0.0) == -2


def test_sum_of_logarithms() -> None:
    assert sum_log2([-3.0, -3.0]) == pytest.approx(-2.0)
    assert sum_log2([-1000.0, -1000.0]) == -1000.0
    assert sum_log2([]) == -1000.0


def test_a_max_pool_compares_differences_which_need_a_bit_more() -> None:
    """Two values at opposite ends of the range, margin included, differ by twice its size."""
    module = randomise(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)),
        SHAPE,
        1,
    )
    found, graph = quantised(module, margin_bits=1)
    draft, ring = lower(module, SHAPE), found.plan.ring
    ranges = calibrate(draft.graph(), draft.masks, draft.float_weights(), random_pictures(SHAPE, 16, 5))
    (pool,) = [node for node in graph if node.op == "maxpool2d"]
    largest = 2 * float(ranges.compared_channels[pool.name].max()) * 2 ** ring.frac_bits[pool.inputs[0]]
    assert 2 * largest <= 2 ** (ring.comparison_bits[pool.name] - 1)


def test_logits_that_would_fill_the_ring_leave_it_a_bit() -> None:
    """Weights so fine that only the ring bounds them: the label's tournament needs differences of logits."""
    draft = lower(randomise(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), SHAPE, 1), SHAPE)
    graph, weights = draft.graph(), draft.float_weights()
    ranges = calibrate(graph, draft.masks, weights, random_pictures(SHAPE, 16, 5))
    plan = assign_scales(graph, weights, ranges, ScaleOptions(ring_bits=32, frac_bits=14, weight_bits=15))
    assert plan is not None
    assert plan.ring.logit_bits == 31
    check_ring(plan.graph, plan.ring)


def ring_of(frac_bits: int, logit_bits: int) -> RingConfig:
    return RingConfig(
        ring_bits=59, frac_bits={"out": frac_bits}, weight_frac_bits={}, comparison_bits={}, logit_bits=logit_bits
    )


@pytest.mark.parametrize(("error", "expected"), [(0.015, -4), (0.0156251, -3), (2.0**-6, -4), (0.0, -19), (1e-9, -19)])
def test_the_smallest_power_of_two_above_the_noise_that_drops_a_bit(error: float, expected: int) -> None:
    step = choose_score_step(ring_of(20, 27), "out", error)
    assert step == expected
    assert 2.0**step >= NOISE_STEPS * error


def test_two_bits_of_a_logit_are_left() -> None:
    assert choose_score_step(ring_of(20, 27), "out", 1e9) == 5


def test_labels_stay_unless_the_two_best_share_a_score() -> None:
    logits = np.array([[0.0, 1.0], [1.0, 0.0], [0.9, 1.0], [1.0, 0.9], [0.4, 0.6]])
    assert labels_kept(logits, 0) == 0.8  # 0.9 and 1.0 both become 1: the third row's label goes
    assert labels_kept(logits, -4) == 1.0


def test_an_exported_artifact_has_a_step_above_its_own_error() -> None:
    artifact = random_small_artifact(3)
    config, output = artifact.public.ring, artifact.public.graph.output
    assert config.score_step_log2 is not None
    assert 1 - config.frac_bits[output] <= config.score_step_log2 < config.logit_bits - config.frac_bits[output]


def test_a_scale_is_carried_to_the_next_relu_where_pairs_would_fail_too_often() -> None:
    """A linear layer of 4,096 wide values between two ReLUs: nothing is truncated but by gates, which never fail."""
    layers = [nn.Conv2d(3, 64, 1), nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
    module = randomise(nn.Sequential(*layers, nn.Flatten(), nn.Linear(4096, 3)), SHAPE, 1)
    draft = lower(module, SHAPE)
    graph, weights = draft.graph(), draft.float_weights()
    ranges = calibrate(graph, draft.masks, weights, random_pictures(SHAPE, 16, 5))
    settings = ScaleOptions(ring_bits=48, frac_bits=8, weight_bits=7)
    assert assign_scales(graph, weights, ranges, settings) is None
    plan = assign_scales(graph, weights, ranges, replace(settings, carry=True))
    assert plan is not None
    assert plan.ring.truncation_log2 == -1000.0
    assert not any(node.op == "truncate" for node in plan.graph)
    check_ring(plan.graph, plan.ring)


def test_logits_of_any_size_find_a_ring() -> None:
    for factor in (1e-4, 0.1, 1.0, 1e4):
        module = network(1.0)
        with torch.no_grad():
            module[-1].weight *= factor  # type: ignore[index]
            module[-1].bias *= factor  # type: ignore[index]
        found, _ = quantised(module)
        assert found.relative_error <= 0.01
        assert found.agreement == 1.0


def test_a_ring_of_64_bits_where_it_is_asked_for_or_nothing_narrower_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert quantised(network(1.0))[0].plan.ring.ring_bits == 32
    assert quantised(network(1.0), ring_bits=64)[0].plan.ring.ring_bits == 64
    plan = Judge.plan
    monkeypatch.setattr(Judge, "plan", lambda self, options: plan(self, options) if options.ring_bits > 59 else None)
    assert quantised(network(1.0))[0].plan.ring.ring_bits == 64
    monkeypatch.setattr(Judge, "plan", lambda self, options: None)
    for given, text in (
        (None, "of 64 bits holds, found larger ones; take fewer"),
        (40, "take more ring_bits than 40, fewer"),
    ):
        with pytest.raises(ConfigError, match=text):
            quantised(network(1.0), ring_bits=given)


def test_what_is_stated_is_judged_on_all_pictures_of_a_small_network() -> None:
    assert quantised(network(1.0), pictures=16)[0].pictures == 16
    assert quantised(network(1.0), pictures=80)[0].pictures == 80  # as many as judge a small network


class _Graded:
    """A judge for whom errors are as given, one a candidate."""

    def __init__(self, errors: Sequence[float]) -> None:
        self._errors = errors

    def plan(self, place: int) -> Any:
        return SimpleNamespace(place=place, ring=SimpleNamespace(model_dump_json=lambda: str(place)))

    def measured(self, plan: Any, judged: int) -> Any:
        error = self._errors[plan.place]
        return SimpleNamespace(
            plan=plan, relative_error=error, max_error=error, left="", within=lambda allowed: error <= allowed
        )


@pytest.mark.parametrize("first", [0.02, 5.0, 1e6])
def test_however_bad_the_first_candidate_is_the_last_is_tried(first: float) -> None:
    graded: Any = _Graded([first] * 10 + [0.001])
    candidates: Any = range(11)
    found = _Search(graded, 1, QuantiseOptions(), 0.01).choose(candidates)
    assert found is not None
    assert found.relative_error == 0.001
