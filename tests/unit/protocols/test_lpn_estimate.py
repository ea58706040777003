"""The sets of Ferret against the recorded estimate, and the estimate's formulas against their authors' own programs."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from halves import run_halves

from pi_system.kernels.ot import lpn_encode
from pi_system.protocols.ot import ferret
from pi_system.protocols.ot.party import ot_setup
from pi_system.ring.prg import Prg

ROOT = Path(__file__).parents[3]
MARGIN_BITS = 12
"""Above 128: 2^12 rounds of one session, 10^10 COTs, are all targets of one attack and 128 bits are left."""

# Found by the authors' programs (github.com/1234wangtr/Code_estimators), run on these instances. algebraic: theirs
# leaves out guesses in all blocks, ours is up to a bit lower.
PUBLISHED = {
    (1024, 652, 57): {
        "isd": 92.35,
        "statistical": 183.88,
        "statistical_2": 135.89,
        "regular_permutation": 94.41,
        "regular_enumeration": 77.36,
        "regular_representation": 76.32,
        "algebraic": 101.48,
        "algebraic_2": 96.85,
        "hybrid": 78.44,
    },
    (4096, 1589, 98): {
        "isd": 83.03,
        "statistical": 146.84,
        "statistical_2": 135.70,
        "regular_permutation": 95.94,
        "regular_enumeration": 78.12,
        "regular_representation": 78.33,
        "algebraic": 101.59,
        "algebraic_2": 97.44,
        "hybrid": 82.16,
    },
    (870400, 65536, 850): {
        "gauss": 139.59,
        "isd": 131.35,
        "statistical": 205.77,
        "regular_permutation": 153.67,
        "regular_enumeration": 132.47,
        "regular_representation": 135.34,
    },
}


@pytest.fixture(scope="module")
def estimator() -> Any:
    spec = importlib.util.spec_from_file_location("lpn_estimate", ROOT / "scripts" / "lpn_estimate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recorded() -> Any:
    return json.loads((ROOT / "docs" / "reference" / "lpn-estimate.json").read_text())["sets"]


@pytest.mark.parametrize("instance", PUBLISHED)
def test_formulas_give_what_their_authors_programs_give(estimator: Any, instance: tuple[int, int, int]) -> None:
    for name, bits in PUBLISHED[instance].items():
        found = estimator.ATTACKS[name](estimator.Instance(*instance))
        assert bits - (1.0 if name == "algebraic" else 0.05) < found < bits + 0.05, name


@pytest.mark.parametrize("name", ["SMALL", "LARGE"])
def test_the_sets_have_their_margin_by_every_attack(estimator: Any, recorded: Any, name: str) -> None:
    chosen, row = getattr(ferret, name), recorded[name]
    assert (row["n"], row["k"], row["t"]) == (chosen.trees << chosen.depth, chosen.secret, chosen.trees)
    assert set(row["bits"]) == set(estimator.ATTACKS)
    assert row["least"] == min(row["bits"].values()) >= 128 + MARGIN_BITS
    instance = estimator.Instance(row["n"], row["k"], row["t"])
    for attack in ("bjmm", "regular_enumeration", "algebraic_2", "hybrid"):
        assert abs(estimator.ATTACKS[attack](instance) - row["bits"][attack]) < 0.01, attack


def test_the_sets_of_emp_have_no_margin(estimator: Any) -> None:
    """Why they are not used: 2^128.2 by eprint 2025/1284."""
    assert 128 < estimator.hybrid(estimator.Instance(1170 << 11, 1 << 17, 1170)) < 129


def rows_of(seed: bytes, first: int, count: int, k: int) -> np.ndarray:
    """The matrix, (count, 128) places a row: a base of unit vectors, 128 places at a time."""
    out = np.zeros((count, k), np.uint8)
    for at in range(0, k, 128):
        base = np.zeros((k, 2), np.uint64)
        places = np.arange(min(128, k - at))
        base[at + places, places // 64] = np.uint64(1) << (places % 64).astype(np.uint64)
        blocks = np.zeros((count, 2), np.uint64)
        lpn_encode(base, seed, first, blocks)
        bits = np.unpackbits(blocks.view(np.uint8), axis=1, bitorder="little")
        out[:, at + places] = bits[:, places]
    return out


def test_rows_of_the_matrix_are_ten_uniform_places_and_never_repeat() -> None:
    k, count = 300, 4096
    matrix = rows_of(b"0123456789abcdef", 0, count, k)
    weights = matrix.sum(axis=1)
    assert set(np.unique(weights)) <= {0, 2, 4, 6, 8, 10}
    pairs = 45 / k  # two of the ten at one place cancel
    assert abs((weights < 10).mean() - (1 - np.exp(-pairs))) < 0.03
    expected = weights.sum() / k
    assert np.abs(matrix.sum(axis=0) - expected).max() < 6 * np.sqrt(expected)
    assert len(np.unique(matrix, axis=0)) == count
    later = rows_of(b"0123456789abcdef", count, 64, k)
    assert len(np.unique(np.concatenate([matrix, later]), axis=0)) == count + 64
    np.testing.assert_array_equal(rows_of(b"0123456789abcdef", 64, 64, k), matrix[64:128])


def test_both_parties_draw_a_matrix_for_each_session_direction_and_set() -> None:
    def party(seed: Any) -> Any:
        ends = yield from ot_setup(Prg(seed))
        return [[end.matrix_seed, end._source.matrix_seed] for end in (ends.sender, ends.receiver)]  # type: ignore

    seen = set()
    for server, client in ((b"s", b"c"), (b"t", b"c"), (b"s", b"d")):
        ran = run_halves(party(server * 16), party(client * 16))
        (sent, received), (sent_back, received_back) = ran.server, ran.client
        assert (sent, received) == (received_back, sent_back)
        seen.update(sent + received)
    assert len(seen) == 12  # a session that shares one party's nonce has other matrices, too
