"""Which stream a mask, a share, a key and a salt come from: no two purposes, no two names have one."""

from itertools import combinations
from typing import Any

import numpy as np

from pi_system.artifact.graph import Linear
from pi_system.ring.prg import Prg
from pi_system.secure.seeds import PartySeed, fixed_mask, gate_salt

SEED = bytes(range(16))


def streams(name: str) -> Any:
    seed, node = PartySeed(SEED), Linear(name=name, inputs=("x",), shape=(64,), in_features=4)
    return {
        "mask": seed.fresh_mask(name, 64, 64),
        "share": seed.linear_share(node, 64)[0],
        "weights": fixed_mask(SEED, node, 64)[:, 0],
        "gate": Prg(seed.gate_seed(name)).ring(64, 64),
        "salt": Prg(gate_salt(SEED, name)).ring(64, 64),
    }


def test_one_seed_gives_every_purpose_and_every_name_its_own_stream() -> None:
    found = {(name, purpose): stream for name in ("a", "b", "a.b") for purpose, stream in streams(name).items()}
    assert len(found) == 15
    for (one, first), (two, second) in combinations(found.items(), 2):
        assert not np.isin(first, second).any(), (one, two)


def test_a_stream_is_the_same_for_whoever_has_the_seed() -> None:
    first, second = streams("a"), streams("a")
    assert all((first[purpose] == second[purpose]).all() for purpose in first)


def test_a_seed_is_not_shown() -> None:
    assert SEED.hex() not in repr(PartySeed(SEED))
    assert repr(SEED) not in repr(PartySeed(SEED))
