"""What a party works out of the messages is uniform, not only the messages: shares of intermediate bits, differences.

A histogram of received bytes sees no pad that is used twice and nothing below a pad that is taken off again. Here
secrets are constant, so that whatever is not hidden shows. Thresholds are six standard deviations.
"""

from dataclasses import replace
from importlib import import_module
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gates import SEED, exchange, prepare
from parties import infer, prepared
from recording import Recorder
from scaled_artifact import relu_artifact

from pi_system.backends.fss.offline import masked_weights
from pi_system.kernels import unpack_bits
from pi_system.program.encoding import quantise_weights
from pi_system.protocols.gate import GateSpec
from pi_system.protocols.relu_gmw import GMW
from pi_system.protocols.relu_gmw.cost import cut_of
from pi_system.protocols.relu_gmw.level import Level
from pi_system.protocols.relu_gmw.merge import Merge
from pi_system.protocols.relu_table import TABLE
from pi_system.protocols.relu_table.rounds import Party
from pi_system.protocols.relu_table.shape import shape_of
from pi_system.ring.carrier import Ring
from pi_system.ring.prg import Prg, fresh_seed

COUNT = 8192
SPEC = GateSpec(count=COUNT, ring_bits=32, comparison_bits=24, shift=10)
SECRETS = [0, 1, -1, 5_000_000, -5_000_000]


def assert_fair(planes: Any, count: int = COUNT) -> None:
    """Every plane is half ones, and so is the sum of every two."""
    bits = [np.unpackbits(plane, count=count, bitorder="little") for plane in planes]
    for one in bits + [a ^ b for a, b in combinations(bits, 2)]:
        assert abs(one.mean() - 0.5) < 6 * 0.5 / np.sqrt(count)


@pytest.mark.parametrize("secret", SECRETS)
def test_gmw_shows_nothing_of_the_bits_that_a_party_holds_shares_of(
    secret: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late inputs are what a party reads out of tables and openings; early ones what it chose: both are uniform."""
    late, early = [], []
    message, inputs = Level.late, Merge.early_inputs

    def noted_late(level: Any, t: Any, masks: Any, offsets: Any) -> Any:
        late.append(t[: level.inputs])
        return message(level, t, masks, offsets)

    def noted_early(group: Any, factors: Any, fresh: Any) -> Any:
        found = inputs(group, factors, fresh)
        early.append(list(found.values()))
        return found

    monkeypatch.setattr(Level, "late", noted_late)
    monkeypatch.setattr(Merge, "early_inputs", noted_early)
    prepared = prepare(GMW, SPEC, np.full(COUNT, secret))
    exchange(*prepared.gates(), prepared.y_server)
    cut = cut_of(SPEC)
    assert len(late) == 2
    for planes in late:
        assert_fair(planes)
    chunks = COUNT // 4096  # the offline phase goes by chunks
    assert len(early) == chunks * (len(cut.level1) + 1)
    for planes in early:
        assert_fair(planes, 4096)


def test_both_parties_choose_their_early_shares_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, list[bytes]] = {}
    for side in ("server", "client"):
        module = import_module(f"pi_system.protocols.relu_gmw.tree_{side}")
        original = module.random_planes

        def noted(prg: Any, count: int, size: Any, original: Any = original, name: str = module.__name__) -> Any:
            planes = original(prg, count, size)
            drawn.setdefault(name, []).extend(plane.tobytes() for plane in planes)
            return planes

        monkeypatch.setattr(module, "random_planes", noted)
    prepare(GMW, SPEC, np.zeros(COUNT, np.int64))
    assert len(drawn) == 2
    everything = [plane for planes in drawn.values() for plane in planes]
    assert len(set(everything)) == len(everything)
    assert_fair([np.frombuffer(plane, np.uint8) for planes in drawn.values() for plane in planes[:8]], 4096)


@pytest.mark.parametrize("secret", SECRETS[1:4])
def test_making_a_table_shows_nothing_of_what_is_shared(secret: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parties' rounds: every plane is fair, alone and against the next, and every word uniform."""
    planes: dict[int, list[Any]] = {0: [], 1: []}
    words: dict[int, list[Any]] = {0: [], 1: []}
    swap = Party.swap

    def noted(party: Any, *sent: Any) -> Any:
        rows, found = yield from swap(party, *sent)
        planes[party.role].extend(rows)
        words[party.role].extend(found)
        return rows, found

    monkeypatch.setattr(Party, "swap", noted)
    spec = replace(SPEC, unseen_bits=6)
    prepared = prepare(TABLE, spec, np.full(COUNT, secret))
    for role in (0, 1):
        parts = shape_of(spec).rounds(1 - role)
        assert len(planes[role]) == sum(part.planes for part in parts) > 150
        for pair in pairwise(planes[role]):
            assert_fair(pair)
        widths = [bits for part in parts for bits in part.words]
        assert len(widths) == 5 - role  # y_1 + b, wrap, top bit; of the server rho, carry; two products
        assert all(uniform(word, bits) for word, bits in zip(words[role], widths, strict=True))
    down, _ = exchange(*prepared.gates(), prepared.y_server)
    opened, compared = (_numbers(down, spec, *at) for at in ((0, 14), (14, 8)))
    assert uniform(opened, 14)
    assert uniform(compared, 8)
    assert uniform((opened >> 6) - compared & 255, 8)  # the sign's mask against the value's


def _numbers(messages: Any, spec: GateSpec, first: int, bits: int) -> Any:
    """Of a single message the packed numbers that start after ``first`` bits an element."""
    (message,) = messages
    found = np.empty(spec.count, np.uint32)
    unpack_bits(np.frombuffer(message, np.uint8)[first * spec.count // 8 :][: bits * spec.count // 8], bits, found)
    return found.astype(np.int64)


def uniform(values: Any, ring_bits: int) -> bool:
    """The top four bits of ring elements, against chance."""
    counts = np.bincount((values.reshape(-1).astype(np.uint64) >> np.uint64(ring_bits - 4)).astype(int), minlength=16)
    expected = values.size / 16
    return bool((((counts - expected) ** 2 / expected).sum()) < 15 + 6 * np.sqrt(30))


def test_masked_weights_hide_the_difference_of_two_layers() -> None:
    """Equal weights in two layers: with one stream for all, the difference of what the client gets would be zero."""
    artifact = relu_artifact(0.1)
    graph, config = artifact.public.graph, artifact.public.ring
    ring = Ring(config.ring_bits)
    integers = quantise_weights(graph, config, artifact.weights)
    integers["fc.weight"] = np.resize(integers["conv2.weight"], integers["fc.weight"].shape)
    names = [node.name for node in graph.weighted]
    masked = dict(zip(names, masked_weights(graph, integers, fresh_seed(), ring), strict=True))
    flat = [masked[name].reshape(-1)[:144] for name in ("conv2", "fc")]
    assert uniform(np.concatenate([masked[name].reshape(-1) for name in masked]), config.ring_bits)
    assert uniform(ring.reduce(flat[0] - flat[1]), config.ring_bits)


@pytest.mark.parametrize("backend", ["fss", "gmw", "table"])
def test_masked_pictures_hide_the_difference_of_two(backend: str, tmp_path: Path) -> None:
    artifact = relu_artifact(0.1)
    pictures = np.zeros((12, *artifact.public.graph.input.shape), np.float32)
    received = Recorder()
    infer(*prepared(backend, artifact, tmp_path, len(pictures)), pictures, wrap=received)
    found = np.frombuffer(received["server"][0], np.uint32).reshape(len(pictures), -1)
    differences = np.concatenate([a - b for a, b in combinations(found, 2)])
    assert uniform(found, 32)
    assert uniform(differences[: 12 * 64], 32)
    assert not (differences == 0).all()


def test_the_tests_would_see_a_constant() -> None:
    assert not uniform(np.zeros(4096, np.uint32), 32)
    with pytest.raises(AssertionError):
        assert_fair([np.zeros(COUNT // 8, np.uint8)])
    one = np.frombuffer(Prg(SEED).bytes(COUNT // 8), np.uint8)
    assert_fair([one])
    with pytest.raises(AssertionError):
        assert_fair([one, one])
