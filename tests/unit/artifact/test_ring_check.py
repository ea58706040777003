from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from tiny_artifact import GRAPH, RING

from pi_system.artifact.graph import AvgPool2d, Graph, Input, Square
from pi_system.artifact.ring_check import check_ring, multiplies, output_frac_bits
from pi_system.artifact.ring_config import RingConfig
from pi_system.errors import ArtifactError


def refused(message: str | None) -> AbstractContextManager[Any]:
    """Expects an error that says so; None: none."""
    return pytest.raises(ArtifactError, match=message) if message else nullcontext()


def test_ring_that_fits_passes() -> None:
    check_ring(GRAPH, RING)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("frac_bits", RING.frac_bits | {"fc": 17}, "node fc: expected 18"),
        ("frac_bits", RING.frac_bits | {"relu": 19}, "node relu: expected at most 18"),
        ("frac_bits", {"input": 8}, "frac_bits"),
        ("weight_frac_bits", {"conv": 10}, "weight_frac_bits"),
        ("weight_frac_bits", {"conv": 10, "fc": 10, "relu": 1}, "weight_frac_bits"),
        ("comparison_bits", {}, "comparison_bits"),
        ("comparison_bits", {"relu": 11}, "comparison bits"),
        ("ring_bits", 16, "do not fit"),
        ("ring_bits", 20, "comparison bits"),
        ("logit_bits", 63, None),
    ],
)
def test_ring_that_does_not_fit_is_refused(field: str, value: Any, message: str | None) -> None:
    ring = RING.model_copy(update={field: value})
    with refused(message):
        check_ring(GRAPH, ring)


@pytest.mark.parametrize(("step_log2", "fits"), [(-17, True), (0, True), (-18, False), (1, False)])
def test_a_step_of_scores_drops_a_bit_and_leaves_two(step_log2: int, fits: bool) -> None:
    ring = RING.model_copy(update={"score_step_log2": step_log2, "logit_bits": 20})  # 18 fraction bits
    with refused(None if fits else r"drops 1\.\.18 bits"):
        check_ring(GRAPH, ring)


@pytest.mark.parametrize(("logit_bits", "step_log2"), [(24, -4), (10, -17), (2, -17)])
def test_an_artifact_from_before_scores_has_ten_bits_of_them(logit_bits: int, step_log2: int) -> None:
    ring = RING.model_copy(update={"score_step_log2": None, "logit_bits": logit_bits})
    check_ring(GRAPH, ring)
    assert ring.score_step(GRAPH.output) == step_log2


def test_a_label_wider_than_the_ring_is_refused() -> None:
    with pytest.raises(ArtifactError, match="logit_bits"):
        check_ring(GRAPH, RING.model_copy(update={"ring_bits": 32, "logit_bits": 33}))


@pytest.mark.parametrize(("kernel", "expected"), [((2, 2), 12), ((4, 2), 13), ((3, 3), 15), ((1, 3), 15)])
def test_average_pool_multiplies_only_without_a_power_of_two(kernel: tuple[int, int], expected: int) -> None:
    pool = AvgPool2d(name="p", inputs=("x",), shape=(1,), kernel=kernel, stride=(1, 1), padding=(0, 0))
    assert multiplies(pool) == (expected == 15)
    assert output_frac_bits(pool, [10], 5) == expected


@pytest.mark.parametrize(
    ("frac_bits", "comparison_bits", "message"),
    [
        ({"square": 18}, {"square": 16}, None),
        ({"square": 17}, {"square": 16}, "expected 18 fraction bits"),
        ({"square": 18}, {}, "comparison_bits"),
        ({"square": 18}, {"square": 17}, r"expected 2..16 comparison bits.*fits 32 ring bits; found 17"),
        ({"square": 18}, {"square": 1}, "expected 2..16"),
    ],
)
def test_a_square_doubles_the_fraction_bits_and_needs_room(
    frac_bits: dict[str, int], comparison_bits: dict[str, int], message: str | None
) -> None:
    square = Square(name="square", inputs=("x",), shape=(4,), halvings=2)
    graph = Graph(nodes=(Input(name="x", inputs=(), shape=(4,)), square))
    ring = RingConfig(
        ring_bits=32,
        frac_bits={"x": 8, **frac_bits},
        weight_frac_bits={},
        comparison_bits=comparison_bits,
        logit_bits=20,
    )
    with refused(message):
        check_ring(graph, ring)


@pytest.mark.parametrize(("bits", "message"), [(2, None), (14, None), (1, "2..14"), (15, "2..14"), (0, "2..14")])
def test_bits_to_compare_are_two_to_all_that_are_left(bits: int, message: str | None) -> None:
    """The ReLU has k = 24 and drops 10."""
    ring = RING.model_copy(update={"compare_bits": {"relu": bits}})
    with refused(message):
        check_ring(GRAPH, ring)


@pytest.mark.parametrize("name", ["fc", "nothing"])
def test_only_relus_and_max_pools_compare(name: str) -> None:
    with pytest.raises(ArtifactError, match="compare_bits"):
        check_ring(GRAPH, RING.model_copy(update={"compare_bits": {name: 4}}))


def test_artifacts_that_compare_all_bits_are_written_as_before() -> None:
    assert "compare_bits" not in RING.model_dump()
    few = RING.model_copy(update={"compare_bits": {"relu": 8}})
    assert RingConfig.model_validate(few.model_dump()) == few
    (relu,) = GRAPH.relus()
    assert (RING.limit(relu), few.limit(relu)) == (2**23 - 2**10, 2**23 - 2**16)
    assert (RING.window(relu), few.window(relu)) == (0, 2.0 ** (16 - 18))
